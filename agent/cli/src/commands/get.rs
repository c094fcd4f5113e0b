//! `barepod get`.

use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use barepod_api::v1::{ListRequest, watch_response};

use super::Client;
use crate::args::Get;
use crate::get::{Form, Layout, List, Wanted, pods};
use crate::output::{now, print};
use crate::refusal::{fail, from_status};

pub(super) async fn run(mut client: Client, namespace: String, args: Get) -> Result<ExitCode> {
    let wanted = args.wanted().map_err(Error::msg)?;
    let request = request(&namespace, &wanted, &args);
    if args.watch {
        return watch(client, request, &args, &wanted).await;
    }
    let mut list = pods::list(client.list(request).await.map_err(from_status)?.into_inner().pods, now());
    list.items.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let missing = choose(&mut list, &wanted, &args);
    if let Some(order) = &args.sort_by {
        order.sort(&mut list.items).map_err(Error::msg)?;
    }
    show(&list, &wanted, &args, &namespace)?;
    for name in &missing {
        let (kind, kinds) = (wanted.kind.singular(), wanted.kind.plural());
        fail(&Error::msg(format!("there is no {kind} {name} in namespace {namespace}; see `barepod get {kinds} -A`")));
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whoever is named is of the one namespace, whatever else is asked for.
fn request(namespace: &str, wanted: &Wanted, args: &Get) -> ListRequest {
    let all = args.all_namespaces && wanted.names.is_empty();
    let name = if let [name] = &wanted.names[..] { name.clone() } else { String::new() };
    ListRequest { namespace: if all { String::new() } else { namespace.to_owned() }, name, uid: String::new() }
}

/// Keeps what is named and selected; the answer is who was named and is not there.
fn choose(list: &mut List, wanted: &Wanted, args: &Get) -> Vec<String> {
    if wanted.names.is_empty() {
        if args.selectors.are_given() {
            list.items.retain(|item| args.selectors.pick(item.object.value()));
        }
        return Vec::new();
    }
    list.items.retain(|item| wanted.names.contains(&item.name));
    let is_missing = |name: &&String| !list.items.iter().any(|item| item.name == **name);
    wanted.names.iter().filter(is_missing).cloned().collect()
}

fn layout<'a>(args: &'a Get, wanted: &Wanted) -> Layout<'a> {
    Layout {
        form: args.output.as_ref().unwrap_or(&Form::Table),
        namespaces: args.all_namespaces && wanted.names.is_empty(),
        headings: !args.no_headers,
        labels: args.show_labels,
        single: wanted.names.len() == 1,
    }
}

fn show(list: &List, wanted: &Wanted, args: &Get, namespace: &str) -> Result<()> {
    let layout = layout(args, wanted);
    if !list.items.is_empty() || (wanted.names.is_empty() && !layout.form.is_table()) {
        print(&list.render(layout)?)?;
    } else if wanted.names.is_empty() {
        let kinds = wanted.kind.plural();
        let of = if args.all_namespaces { String::new() } else { format!(" in namespace {namespace}") };
        eprintln!("No {}{kinds}{of}.", if args.selectors.are_given() { "such " } else { "" });
    }
    Ok(())
}

async fn watch(mut client: Client, request: ListRequest, args: &Get, wanted: &Wanted) -> Result<ExitCode> {
    let mut changes = client.watch(request).await.map_err(from_status)?.into_inner();
    // A change is one line, or one object.
    let mut layout = Layout { single: true, ..layout(args, wanted) };
    while let Some(change) = changes.message().await.map_err(from_status)? {
        let kind = change.kind();
        let Some(mut pod) = change.pod else { continue };
        if kind == watch_response::Kind::Gone {
            "Gone".clone_into(&mut pod.phase);
        }
        let mut list = pods::list(vec![pod], now());
        choose(&mut list, wanted, args);
        if !list.items.is_empty() {
            print(&list.render(layout)?)?;
            layout.headings = false;
        }
    }
    bail!("barepodd ended; services run on without it")
}
