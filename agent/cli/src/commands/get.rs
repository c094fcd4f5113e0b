//! `barepod get`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use barepod_api::v1::{EventsRequest, ListRequest, VolumesRequest, watch_response};
use barepod_presets::LocalHost;

use super::{Client, preset};
use crate::args::Get;
use crate::get::{Form, Kind, Layout, List, Wanted, events, pods, presets, volumes};
use crate::output::{Reader, now, pass, print};
use crate::refusal::{fail, from_status};

pub(super) async fn run(socket: &Path, namespace: String, args: Get) -> Result<ExitCode> {
    let wanted = args.wanted().map_err(Error::msg)?;
    let asked = Asked { namespace: &namespace, wanted: &wanted, args: &args };
    if args.watch {
        return asked.watch(barepod_api::connect(socket).await?).await;
    }
    let mut list = asked.list(socket).await?;
    let missing = asked.choose(&mut list);
    if let Some(order) = &args.sort_by {
        order.sort(&mut list.items).map_err(Error::msg)?;
    }
    asked.show(&list)?;
    for name in &missing {
        fail(&asked.is_missing(name));
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked for.
struct Asked<'a> {
    /// Of what is named, and of all else if not all are meant.
    namespace: &'a str,
    wanted: &'a Wanted,
    args: &'a Get,
}

impl Asked<'_> {
    async fn list(&self, socket: &Path) -> Result<List> {
        let connect = || barepod_api::connect(socket);
        Ok(match self.wanted.kind {
            Kind::Presets => presets::list(preset::catalogue(&self.args.config.join("presets"))?.list(&LocalHost)),
            Kind::Pods => {
                let answer = connect().await?.list(self.pods()).await.map_err(from_status)?;
                let mut pods = answer.into_inner().pods;
                pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
                pods::list(pods, now())
            }
            Kind::Events => {
                let mut stream = connect().await?.events(self.events()).await.map_err(from_status)?.into_inner();
                let mut all = Vec::new();
                while let Some(event) = stream.message().await.map_err(from_status)? {
                    all.push(event);
                }
                events::list(all, now())
            }
            Kind::Volumes => {
                let answer = connect().await?.volumes(self.volumes()).await.map_err(from_status)?;
                volumes::list(answer.into_inner().volumes, now())
            }
        })
    }

    /// Whoever is named is of the one namespace, whatever else is asked for.
    fn is_of_all_namespaces(&self) -> bool {
        self.args.all_namespaces && self.wanted.names.is_empty()
    }

    fn namespace(&self) -> String {
        if self.is_of_all_namespaces() { String::new() } else { self.namespace.to_owned() }
    }

    /// If it is but one.
    fn name(&self) -> String {
        if let [name] = &self.wanted.names[..] { name.clone() } else { String::new() }
    }

    fn pods(&self) -> ListRequest {
        ListRequest { namespace: self.namespace(), name: self.name(), uid: String::new() }
    }

    fn events(&self) -> EventsRequest {
        EventsRequest {
            namespace: self.namespace(),
            name: String::new(),
            follow: self.args.watch,
            ..EventsRequest::default()
        }
    }

    fn volumes(&self) -> VolumesRequest {
        // The usual table does without, for it takes a look at each file.
        let count = !matches!(self.form(), Form::Table | Form::Name);
        VolumesRequest { namespace: self.namespace(), name: self.name(), count }
    }

    /// Keeps what is named and selected; the answer is who was named and is not there.
    fn choose(&self, list: &mut List) -> Vec<String> {
        let names = &self.wanted.names;
        if names.is_empty() {
            if self.args.selectors.are_given() {
                list.items.retain(|item| self.args.selectors.pick(item.object.value()));
            }
            return Vec::new();
        }
        list.items.retain(|item| names.contains(&item.name));
        let is_missing = |name: &&String| !list.items.iter().any(|item| item.name == **name);
        names.iter().filter(is_missing).cloned().collect()
    }

    fn is_missing(&self, name: &str) -> Error {
        let (kind, kinds) = (self.wanted.kind.singular(), self.wanted.kind.plural());
        match self.wanted.kind.has_namespaces() {
            true => Error::msg(format!(
                "there is no {kind} {name} in namespace {}; see `barepod get {kinds} -A`",
                self.namespace
            )),
            false => Error::msg(format!("there is no {kind} {name}; see `barepod get {kinds}`")),
        }
    }

    fn form(&self) -> &Form {
        self.args.output.as_ref().unwrap_or(&Form::Table)
    }

    fn layout(&self) -> Layout<'_> {
        Layout {
            form: self.form(),
            namespaces: self.is_of_all_namespaces() && self.wanted.kind.has_namespaces(),
            headings: !self.args.no_headers,
            labels: self.args.show_labels,
            single: self.wanted.names.len() == 1,
        }
    }

    fn show(&self, list: &List) -> Result<()> {
        let layout = self.layout();
        let all = self.wanted.names.is_empty();
        if !list.items.is_empty() || (all && !layout.form.is_table()) {
            return Ok(print(&list.render(layout)?)?);
        }
        if all {
            let (such, kinds) = (if self.args.selectors.are_given() { "such " } else { "" }, self.wanted.kind.plural());
            match self.is_of_all_namespaces() || !self.wanted.kind.has_namespaces() {
                true => eprintln!("No {such}{kinds}."),
                false => eprintln!("No {such}{kinds} in namespace {}.", self.namespace),
            }
        }
        Ok(())
    }

    /// Shows each change as it comes, as one line, or one object.
    async fn watch(&self, client: Client) -> Result<ExitCode> {
        let layout = Layout { single: true, ..self.layout() };
        let reader = match self.wanted.kind {
            Kind::Pods => self.watch_pods(client, layout).await?,
            Kind::Events => self.watch_events(client, layout).await?,
            Kind::Volumes | Kind::Presets => bail!("{} cannot be watched", self.wanted.kind.plural()),
        };
        match reader {
            Reader::Gone => Ok(ExitCode::SUCCESS),
            Reader::Present => bail!("barepodd ended; services run on without it"),
        }
    }

    async fn watch_pods(&self, mut client: Client, mut layout: Layout<'_>) -> Result<Reader> {
        let mut changes = client.watch(self.pods()).await.map_err(from_status)?.into_inner();
        while let Some(change) = changes.message().await.map_err(from_status)? {
            let kind = change.kind();
            let Some(mut pod) = change.pod else { continue };
            if kind == watch_response::Kind::Gone {
                "Gone".clone_into(&mut pod.phase);
            }
            if self.show_change(pods::list(vec![pod], now()), &mut layout)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
        }
        Ok(Reader::Present)
    }

    async fn watch_events(&self, mut client: Client, mut layout: Layout<'_>) -> Result<Reader> {
        let mut events = client.events(self.events()).await.map_err(from_status)?.into_inner();
        while let Some(event) = events.message().await.map_err(from_status)? {
            if self.show_change(events::list(vec![event], now()), &mut layout)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
        }
        Ok(Reader::Present)
    }

    /// The headings come once.
    fn show_change(&self, mut list: List, layout: &mut Layout<'_>) -> Result<Reader> {
        self.choose(&mut list);
        if list.items.is_empty() {
            return Ok(Reader::Present);
        }
        let reader = pass(list.render(*layout)?.as_bytes())?;
        layout.headings = false;
        Ok(reader)
    }
}
