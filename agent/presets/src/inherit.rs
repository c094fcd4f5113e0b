//! A preset that extends another one: how the two become one.
//!
//! | what both have | becomes |
//! |---|---|
//! | a map | both, key by key; with `$patch: replace` in it, the child's alone |
//! | a list whose elements have a name | both, element by element, new ones at the end; `$patch: delete` in an element takes it out, an element `$patch: replace` stands for the child's alone |
//! | anything else | the child's |
//!
//! A key without a value in the child takes the parent's away.

use barepod_yaml::place::FieldPath;

use crate::error::{Fault, near};
use crate::read::Faults;
use crate::tree::{Branch, Entry, Tree};

/// Lists whose elements have a name, and the key that is their name.
pub(crate) const KEYED: [(&str, &str); 14] = [
    ("shared", "path"),
    ("hostChecks", "name"),
    ("service.contract.env", "name"),
    ("service.contract.args", "name"),
    ("service.contract.files", "path"),
    ("service.vars", "name"),
    ("service.checks", "name"),
    ("service.warnings", "name"),
    ("service.tuning", "set"),
    ("service.init", "name"),
    ("service.files", "path"),
    ("service.ownedDirs", "path"),
    ("service.rlimits", "resource"),
    ("run.volumes", "name"),
];

/// What a preset never takes from a parent of another name: two presets would answer to one image.
const OWN: [&str; 3] = ["extends", "title", "images"];

const PATCH: &str = "$patch";

/// `child` on top of `parent`.
pub(crate) fn merge(parent: &Tree, child: Tree, faults: &mut Faults) -> Tree {
    let mut parent = parent.clone();
    let same_name = parent.get("name").and_then(Tree::text) == child.get("name").and_then(Tree::text);
    if let (false, Some(entries)) = (same_name, parent.entries_mut()) {
        entries.retain(|e| !OWN.contains(&e.key.as_str()));
    }
    merged(parent, child, &FieldPath::default(), faults)
}

fn merged(parent: Tree, child: Tree, path: &FieldPath, faults: &mut Faults) -> Tree {
    let Tree { spot, value } = child;
    let value = match (parent.value, value) {
        (Branch::Map(ours), Branch::Map(mut theirs)) => match take_patch(&mut theirs).as_deref() {
            Some("replace") => Branch::Map(theirs),
            _ => Branch::Map(maps(ours, theirs, path, faults)),
        },
        (Branch::List(ours), Branch::List(theirs)) => match key_of(path) {
            Some(key) => Branch::List(lists(ours, theirs, key, path, faults)),
            None => Branch::List(theirs),
        },
        (_, value) => value,
    };
    Tree { spot, value }
}

fn maps(mut ours: Vec<Entry>, theirs: Vec<Entry>, path: &FieldPath, faults: &mut Faults) -> Vec<Entry> {
    for entry in theirs {
        let at = ours.iter().position(|e| e.key == entry.key);
        match (at, &entry.value.value) {
            (Some(at), Branch::Null) => drop(ours.remove(at)),
            (Some(at), _) => {
                let path = path.key(entry.key.as_str());
                let value = merged(ours[at].value.clone(), entry.value, &path, faults);
                ours[at] = Entry { value, ..entry };
            }
            (None, _) => ours.push(entry),
        }
    }
    ours
}

fn lists(mut ours: Vec<Tree>, theirs: Vec<Tree>, key: &str, path: &FieldPath, faults: &mut Faults) -> Vec<Tree> {
    if theirs.iter().any(is_replace) {
        return theirs.into_iter().filter(|item| !is_replace(item)).collect();
    }
    for (index, mut item) in theirs.into_iter().enumerate() {
        let name = item.get(key).and_then(Tree::text).map(str::to_owned);
        let at = name.as_deref().and_then(|name| ours.iter().position(|o| named(o, key, name)));
        let patch = item.entries_mut().and_then(take_patch);
        match (at, patch.as_deref()) {
            (Some(at), Some("delete")) => drop(ours.remove(at)),
            (None, Some("delete")) => {
                faults.push(nothing_to_delete(&item, name.as_deref(), &ours, key, &path.index(index)))
            }
            (Some(at), _) => ours[at] = merged(ours[at].clone(), item, &path.index(index), faults),
            (None, _) => ours.push(item),
        }
    }
    ours
}

fn nothing_to_delete(item: &Tree, name: Option<&str>, ours: &[Tree], key: &str, path: &FieldPath) -> Fault {
    let names: Vec<&str> = ours.iter().filter_map(|o| o.get(key)?.text()).collect();
    let name = name.unwrap_or_default();
    let hint = match near(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.join(", ")),
    };
    Fault::new(&item.spot, path, format!("the parent has nothing here with {key} {name:?} to delete")).hint(hint)
}

fn named(item: &Tree, key: &str, name: &str) -> bool {
    item.get(key).and_then(Tree::text) == Some(name)
}

fn is_replace(item: &Tree) -> bool {
    item.entries().len() == 1 && item.get(PATCH).and_then(Tree::text) == Some("replace")
}

/// Takes a patch that is understood out of a map; another one stays, and is no key of a record.
fn take_patch(entries: &mut Vec<Entry>) -> Option<String> {
    let known = |e: &Entry| e.key == PATCH && matches!(e.value.text(), Some("replace" | "delete"));
    let at = entries.iter().position(known)?;
    entries.remove(at).value.text().map(str::to_owned)
}

fn key_of(path: &FieldPath) -> Option<&'static str> {
    let path = path.to_string();
    KEYED.iter().find(|(list, _)| *list == path).map(|(_, key)| *key)
}
