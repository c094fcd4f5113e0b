//! Links that lead nowhere.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::page::root;
use super::{Page, Placed};

/// The links of all these pages that lead to no file of the repository, or to no heading of a page: page, line and what is wrong.
pub fn broken(pages: &[Page]) -> Vec<(PathBuf, Placed<String>)> {
    let by_path: HashMap<_, _> = pages.iter().map(|page| (page.path.as_path(), page)).collect();
    let mut broken = Vec::new();
    for page in pages {
        for link in &page.links {
            if let Some(what) = wrong(&by_path, page, &link.what) {
                broken.push((page.path.clone(), Placed { line: link.line, what }));
            }
        }
    }
    broken
}

fn wrong(pages: &HashMap<&Path, &Page>, page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => page.path.clone(),
        file => plain(&page.path.parent().unwrap_or(Path::new("")).join(file)),
    };
    if path != page.path && !root().join(&path).exists() {
        return Some(format!("{link}: there is no {}", path.display()));
    }
    let anchor = anchor?;
    let Some(page) = pages.get(path.as_path()) else {
        return Some(format!("{link}: no page has anchors but Markdown's"));
    };
    let known = page.anchors.iter().any(|known| known == anchor);
    (!known).then(|| format!("{link}: {} has {}", path.display(), page.anchors.join(", ")))
}

/// A path without `..`, as it is from the root of the repository.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_no_file_and_one_to_no_heading_are_told_with_their_line() {
        let text = "# Here\n\n[a](../../README.md) [b](none.md)\n[c](#here) [d](#there) [e](https://example.com/x) [f](../../configs/policy.yaml#x)\n";
        let page = Page::parse(Path::new("agent/docs/x.md"), text);

        // The page itself is none of the repository's files: its own anchors are looked for all the same.
        let found: Vec<_> = page
            .links
            .iter()
            .filter_map(|link| {
                Some((link.line, wrong(&HashMap::from([(page.path.as_path(), &page)]), &page, &link.what)?))
            })
            .collect();

        let told: Vec<_> = found.iter().map(|(line, what)| format!("{line} {what}")).collect();
        assert_eq!(told[0], "3 none.md: there is no agent/docs/none.md");
        assert!(told.iter().any(|text| text.starts_with("4 #there")), "{told:?}");
        assert!(told.iter().any(|text| text.contains("policy.yaml#x: no page")), "{told:?}");
        assert!(!told.iter().any(|text| text.contains("README.md") || text.contains("example.com")), "{told:?}");
    }
}
