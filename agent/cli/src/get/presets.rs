//! Presets: what stands in for images.

use barepod_presets::Listed;
use serde_json::json;

use super::{Item, Kind, List, Object};

/// A list of presets.
pub(crate) fn list(presets: Vec<Listed>) -> List {
    List {
        kind: Kind::Presets,
        headings: &["NAME", "TITLE", "INSTALLED"],
        wide: &["FROM", "OVER", "IMAGES"],
        items: presets.into_iter().map(item).collect(),
    }
}

/// The versions that are installed; `-` where the software has none.
pub(crate) fn installed(preset: &Listed) -> String {
    match &preset.installed {
        None => "-".to_owned(),
        Some(versions) if versions.is_empty() => "no".to_owned(),
        Some(versions) => versions.join(", "),
    }
}

/// The files whose presets it extends or takes the place of.
pub(crate) fn above(preset: &Listed) -> String {
    if preset.above.is_empty() { "-".to_owned() } else { preset.above.join(", ") }
}

fn item(preset: Listed) -> Item {
    let cells = vec![preset.name.clone(), preset.title.clone(), installed(&preset)];
    let wide = vec![preset.file.clone(), above(&preset), preset.images.join(", ")];
    let Listed { name, title, file, extends, images, above, installed } = preset;
    let object = json!({
        "apiVersion": "barepod.dev/v1alpha1",
        "kind": "Preset",
        "metadata": {"name": name},
        "title": title,
        "extends": extends,
        "images": images,
        "file": file,
        "above": above,
        "installed": installed,
    });
    Item { namespace: String::new(), name, cells, wide, object: Object::from(object) }
}

#[cfg(test)]
mod tests {
    use super::super::{Form, Layout};
    use super::*;

    #[test]
    fn presets_are_listed_with_what_is_installed() {
        let preset = |name: &str, installed: Option<Vec<&str>>, above: &[&str]| Listed {
            name: name.to_owned(),
            title: name.to_uppercase(),
            file: format!("built-in {name}.yaml"),
            extends: None,
            images: vec![name.to_owned(), format!("docker.io/{name}")],
            above: above.iter().map(|it| (*it).to_owned()).collect(),
            installed: installed.map(|all| all.into_iter().map(str::to_owned).collect()),
        };
        let list = list(vec![
            preset("host", None, &[]),
            preset("kafka", Some(vec![]), &[]),
            preset("redis", Some(vec!["8.0.2", "7.0.15"]), &["built-in redis.yaml"]),
        ]);
        let layout = Layout { form: &Form::Wide, namespaces: false, headings: true, labels: false, single: false };
        insta::assert_snapshot!(list.render(layout).unwrap());
    }
}
