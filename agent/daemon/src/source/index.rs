//! What is known of the manifest files: which pods and objects each describes, and which it refers to.
//!
//! Of two files that describe one thing the earlier one stands. An object that is gone is gone for what is read from then
//! on; pods keep what they have of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use barepod_manifest::{Object, ObjectRef, Objects};

/// A pod's name with its namespace.
pub(crate) type Name = (String, String);

/// A manifest file as it was last taken in.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) text: String,
    /// User id of its owner, who is judged by the policy.
    pub(crate) owner: u32,
    /// The policy denied something in it: it is looked at again when the policy is another one.
    pub(crate) denied: bool,
    pub(crate) pods: BTreeSet<Name>,
    pub(crate) objects: BTreeSet<ObjectRef>,
    /// Objects that it defines and another file defined before.
    pub(crate) shadowed: BTreeSet<ObjectRef>,
    /// Objects to which its pods refer.
    pub(crate) refers: BTreeSet<ObjectRef>,
}

impl Known {
    /// How many things it describes.
    pub(crate) fn len(&self) -> usize {
        self.pods.len() + self.objects.len() + self.shadowed.len()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) files: BTreeMap<PathBuf, Known>,
    pub(crate) objects: Objects,
}

/// What became of the objects of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// They are new or different.
    pub(crate) touched: BTreeSet<ObjectRef>,
    /// They are described no longer.
    pub(crate) dropped: BTreeSet<ObjectRef>,
    /// What the files' author should know.
    pub(crate) said: Vec<String>,
}

impl Index {
    pub(crate) fn file_of(&self, pod: &Name) -> Option<&Path> {
        self.files.iter().find(|(_, known)| known.pods.contains(pod)).map(|(path, _)| path.as_path())
    }

    pub(crate) fn file_of_object(&self, id: &ObjectRef) -> Option<&Path> {
        self.files.iter().find(|(_, known)| known.objects.contains(id)).map(|(path, _)| path.as_path())
    }

    /// Whether this object may be given this body.
    pub(crate) fn forbids(&self, object: &Object) -> bool {
        self.objects.get(&object.id).is_some_and(|known| known.immutable && known.body != object.body)
    }

    /// Takes the objects of a sound file in. `stands` says whether a file is still there.
    pub(crate) fn take(&mut self, path: &Path, objects: Vec<Object>, stands: impl Fn(&Path) -> bool) -> Change {
        let mut change = Change::default();
        let (mut own, mut shadowed) = (BTreeSet::new(), BTreeSet::new());
        for object in objects {
            let id = object.id.clone();
            if let Some(other) = self.file_of_object(&id).filter(|other| *other != path && stands(other)) {
                change.said.push(format!("{id} is defined in {} already, which stands", other.display()));
                shadowed.insert(id);
                continue;
            }
            own.insert(id.clone());
            if self.forbids(&object) {
                change
                    .said
                    .push(format!("{id} is immutable and keeps its contents; remove it first, or use another name"));
            } else if self.objects.insert(object.clone()).is_none_or(|before| before.body != object.body) {
                change.touched.insert(id);
            }
        }
        let known = self.files.entry(path.to_owned()).or_default();
        let before = std::mem::replace(&mut known.objects, own);
        known.shadowed = shadowed;
        change.dropped = self.forget(before);
        change
    }

    /// A file was removed, for certain; what it described beside objects.
    pub(crate) fn remove(&mut self, path: &Path) -> Option<(Known, BTreeSet<ObjectRef>)> {
        let mut known = self.files.remove(path)?;
        let dropped = self.forget(std::mem::take(&mut known.objects));
        Some((known, dropped))
    }

    /// Drops those that no file describes any more.
    fn forget(&mut self, ids: BTreeSet<ObjectRef>) -> BTreeSet<ObjectRef> {
        let gone: BTreeSet<_> = ids.into_iter().filter(|id| self.file_of_object(id).is_none()).collect();
        gone.iter().for_each(|id| drop(self.objects.remove(id)));
        gone
    }

    /// A file as it was last taken in: path, text, owner.
    pub(crate) fn text_of(&self, path: PathBuf) -> Option<(PathBuf, String, u32)> {
        self.files.get(&path).map(|known| (path.clone(), known.text.clone(), known.owner))
    }

    /// Files whose pods refer to one of these.
    pub(crate) fn referring(&self, ids: &BTreeSet<ObjectRef>) -> Vec<PathBuf> {
        let refers = |known: &Known| !known.refers.is_disjoint(ids);
        self.files.iter().filter(|(_, known)| refers(known)).map(|(path, _)| path.clone()).collect()
    }

    /// Files that define one of these too, and did not count.
    pub(crate) fn shadowed(&self, ids: &BTreeSet<ObjectRef>) -> Vec<PathBuf> {
        let shadowed = |known: &Known| !known.shadowed.is_disjoint(ids);
        self.files.iter().filter(|(_, known)| shadowed(known)).map(|(path, _)| path.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str, immutable: bool) -> Object {
        let text = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c}}, data: {{a: \"{text}\"}}, immutable: {immutable}}}"
        );
        barepod_manifest::read_all("c.yaml", &text).expect("valid").objects.remove(0)
    }

    fn take(index: &mut Index, path: &str, objects: Vec<Object>) -> Change {
        index.take(Path::new(path), objects, |_| true)
    }

    #[test]
    fn an_object_is_touched_when_it_is_new_or_different() {
        let mut index = Index::default();
        let ids = BTreeSet::from([object("x", false).id]);
        assert_eq!(take(&mut index, "a", vec![object("x", false)]).touched, ids);
        assert_eq!(take(&mut index, "a", vec![object("x", false)]), Change::default());
        assert_eq!(take(&mut index, "a", vec![object("y", false)]).touched, ids);
        assert_eq!(take(&mut index, "a", vec![]).dropped, ids);
        assert!(index.objects.get(&object("y", false).id).is_none());
    }

    #[test]
    fn the_earlier_of_two_files_stands_until_it_is_gone() {
        let mut index = Index::default();
        take(&mut index, "b", vec![object("first", false)]);
        let change = take(&mut index, "a", vec![object("second", false)]);
        assert_eq!((change.touched.len(), change.said.len()), (0, 1));
        assert_eq!(index.objects.get(&object("first", false).id).map(|o| &o.body), Some(&object("first", false).body));
        let (_, dropped) = index.remove(Path::new("b")).expect("known");
        assert_eq!(index.shadowed(&dropped), [PathBuf::from("a")]);
    }

    #[test]
    fn an_object_that_moved_to_another_file_is_not_gone() {
        let mut index = Index::default();
        take(&mut index, "old", vec![object("x", false)]);
        let change = index.take(Path::new("new"), vec![object("x", false)], |path| path != Path::new("old"));
        assert_eq!(change, Change::default());
        let (_, dropped) = index.remove(Path::new("old")).expect("known");
        assert!(dropped.is_empty());
    }

    #[test]
    fn an_immutable_object_keeps_its_contents() {
        let mut index = Index::default();
        take(&mut index, "a", vec![object("x", true)]);
        let change = take(&mut index, "a", vec![object("y", true)]);
        assert_eq!((change.touched.len(), change.said.len()), (0, 1));
    }
}
