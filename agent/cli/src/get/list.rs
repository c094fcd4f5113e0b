//! Things of one kind, and the tables that are made of them.

use std::cell::OnceCell;

use serde_json::{Value, json};

use super::{Form, Kind};
use crate::jsonpath::Shown;
use crate::output::Table;

/// A thing with its row.
#[derive(Debug)]
pub(crate) struct Item {
    /// Empty if things of its kind are in no namespace.
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// A cell for each heading of its list.
    pub(crate) cells: Vec<String>,
    /// And for those of the wide table.
    pub(crate) wide: Vec<String>,
    pub(crate) object: Object,
}

/// An object. Those that nobody looks at are not read.
#[derive(Debug)]
pub(crate) struct Object {
    text: String,
    value: OnceCell<Value>,
}

impl From<Value> for Object {
    fn from(value: Value) -> Self {
        Self { text: String::new(), value: OnceCell::from(value) }
    }
}

impl Object {
    /// From JSON that the daemon has written.
    pub(crate) fn of_text(text: String) -> Self {
        Self { text, value: OnceCell::new() }
    }

    /// What it says; nothing if it is no JSON.
    pub(crate) fn value(&self) -> &Value {
        self.value.get_or_init(|| serde_json::from_str(&self.text).unwrap_or_default())
    }
}

/// Things of one kind.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) kind: Kind,
    pub(crate) headings: &'static [&'static str],
    /// Those that the wide table has more.
    pub(crate) wide: &'static [&'static str],
    pub(crate) items: Vec<Item>,
}

/// How a list is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) form: &'a Form,
    /// With the namespace of each.
    pub(crate) namespaces: bool,
    /// With a first line.
    pub(crate) headings: bool,
    /// With the labels of each.
    pub(crate) labels: bool,
    /// The object itself, where there is but one.
    pub(crate) single: bool,
}

impl List {
    /// As text.
    ///
    /// # Errors
    /// A template does not fit the objects.
    pub(crate) fn render(&self, layout: Layout<'_>) -> anyhow::Result<String> {
        let kind = self.kind.singular();
        Ok(match layout.form {
            Form::Table | Form::Wide => self.table(layout).render(),
            Form::Name => self.items.iter().map(|item| format!("{kind}/{}\n", item.name)).collect(),
            Form::Json => format!("{:#}\n", self.object(layout.single)),
            Form::Yaml => serde_saphyr::to_string(&self.object(layout.single))?,
            Form::Template { template, text } => {
                let rendered = template.render(&self.object(layout.single), text);
                rendered.map_err(|fault| anyhow::anyhow!("the template {text:?} does not fit: {fault}"))?
            }
            Form::Columns(columns) => {
                columns.table(self.items.iter().map(|item| item.object.value()), layout.headings).render()
            }
        })
    }

    fn object(&self, single: bool) -> Value {
        match &self.items[..] {
            [one] if single => one.object.value().clone(),
            all => {
                let items: Vec<_> = all.iter().map(|item| item.object.value().clone()).collect();
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
            }
        }
    }

    fn table(&self, layout: Layout<'_>) -> Table {
        let wide = matches!(layout.form, Form::Wide);
        let mut headings = self.headings.to_vec();
        headings.splice(0..0, layout.namespaces.then_some("NAMESPACE"));
        headings.extend(self.wide.iter().filter(|_| wide));
        headings.extend(layout.labels.then_some("LABELS"));
        let mut table = if layout.headings { Table::new(&headings) } else { Table::default() };
        for item in &self.items {
            let mut cells = item.cells.clone();
            cells.splice(0..0, layout.namespaces.then(|| item.namespace.clone()));
            cells.extend(item.wide.iter().filter(|_| wide).cloned());
            cells.extend(layout.labels.then(|| labels(item.object.value())));
            table.row(cells);
        }
        table
    }
}

/// `a=b,c=d`.
fn labels(object: &Value) -> String {
    let labels = object["metadata"]["labels"].as_object().filter(|labels| !labels.is_empty());
    let Some(labels) = labels else { return "<none>".to_owned() };
    let mut labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={}", Shown(value))).collect();
    labels.sort();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let item = |name: &str, labels: Value| Item {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            cells: vec![name.to_owned(), "Running".to_owned()],
            wide: vec!["1".to_owned()],
            object: Object::of_text(json!({"metadata": {"name": name, "labels": labels}}).to_string()),
        };
        let items = vec![item("db", json!({"b": "2", "a": "1"})), item("web", Value::Null)];
        List { kind: Kind::Pods, headings: &["NAME", "STATUS"], wide: &["PID"], items }
    }

    fn shown(form: &str, change: impl FnOnce(&mut Layout<'_>)) -> String {
        let form = Form::parse(form).unwrap();
        let mut layout = Layout { form: &form, namespaces: false, headings: true, labels: false, single: false };
        change(&mut layout);
        list().render(layout).unwrap()
    }

    #[test]
    fn a_list_has_the_columns_that_are_asked_for() {
        insta::assert_snapshot!(shown("wide", |layout| (layout.namespaces, layout.labels) = (true, true)), @r"
        NAMESPACE   NAME   STATUS    PID   LABELS
        shop        db     Running   1     a=1,b=2
        shop        web    Running   1     <none>
        ");
        assert_eq!(shown("wide", |layout| layout.headings = false), "db    Running   1\nweb   Running   1\n");
    }

    #[test]
    fn each_form_shows_all_of_them() {
        assert_eq!(shown("name", |_| {}), "pod/db\npod/web\n");
        assert_eq!(shown("jsonpath={.kind}: {.items[*].metadata.name}", |_| {}), "List: db web");
        let columns = "custom-columns=WHO:.metadata.name,B:.metadata.labels.b";
        assert_eq!(shown(columns, |_| {}), "WHO   B\ndb    2\nweb   <none>\n");
        assert_eq!(shown(columns, |layout| layout.headings = false), "db    2\nweb   <none>\n");
        let json: Value = serde_json::from_str(&shown("json", |_| {})).unwrap();
        assert_eq!((&json["kind"], &json["items"][1]["metadata"]["name"]), (&json!("List"), &json!("web")));
        assert!(shown("yaml", |_| {}).contains("kind: List"));
    }

    #[test]
    fn one_that_was_named_is_no_list() {
        let mut list = list();
        list.items.truncate(1);
        let form = Form::parse("jsonpath={.metadata.name}{.items[*].metadata.name}").unwrap();
        let layout = Layout { form: &form, namespaces: false, headings: true, labels: false, single: true };
        assert_eq!(list.render(layout).unwrap(), "db");
        assert_eq!(list.render(Layout { single: false, ..layout }).unwrap(), "db", "a list of one");
    }

    #[test]
    fn a_template_that_does_not_fit_says_so() {
        let form = Form::parse("jsonpath={.items[7]}").unwrap();
        let layout = Layout { form: &form, namespaces: false, headings: true, labels: false, single: false };
        let error = list().render(layout).unwrap_err().to_string();
        assert!(error.contains("{.items[7]}") && error.contains("character 8"), "{error}");
    }
}
