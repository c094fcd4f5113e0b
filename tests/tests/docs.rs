//! What the pages of this repository tell is so: their sessions are done on a scratch host, what they tell to type is grammar,
//! and their links lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use barepod_tests::Scratch;
use barepod_tests::pages::{self, Block, Page, grammar, links};
use barepod_tests::programs::Built;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A test for each page that shows sessions.
macro_rules! sessions {
    ($($name:ident: $path:literal,)*) => {
        const DONE: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() -> Result {
                // Shown as it is written, with its lines.
                pages::run(&Page::read(Path::new($path))?).unwrap_or_else(|error| panic!("{error}"));
                Ok(())
            }
        )*
    };
}

sessions! {
    the_readme_is_so: "README.md",
    first_steps_are_so: "agent/docs/first-steps.md",
    what_is_said_of_manifests_is_so: "agent/docs/manifests.md",
    what_is_said_of_presets_is_so: "agent/docs/presets.md",
    what_is_said_of_policy_and_security_is_so: "agent/docs/security.md",
    what_is_said_of_operations_is_so: "agent/docs/operations.md",
    what_is_said_of_disks_is_so: "agent/docs/disk.md",
    what_is_said_of_limits_is_so: "agent/docs/limits.md",
}

#[test]
fn every_page_that_shows_sessions_is_done() -> Result {
    let shows = |page: &Page| page.blocks.iter().any(|block| matches!(block.what, Block::Console(_)));
    let showing: BTreeSet<_> = pages::all()?.iter().filter(|page| shows(page)).map(|page| page.path.clone()).collect();
    assert_eq!(showing, DONE.iter().map(Into::into).collect());
    Ok(())
}

#[test]
fn what_a_page_tells_to_type_is_grammar() -> Result {
    let built = Built::here()?;
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages::all()?.iter().filter(|page| is_present(page)) {
        for call in grammar::calls(page) {
            count += 1;
            if let Some(said) = grammar::refusal(&built, &call.what)? {
                wrong.push(format!("{}:{}: {}\n{said}", page.path.display(), call.line, call.what.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} calls were found");
    Ok(())
}

#[test]
fn every_rule_of_a_policy_on_a_page_is_valid() -> Result {
    let scratch = Scratch::new()?;
    let file = scratch.join("policy.yaml");
    let mut count = 0;
    for page in pages::all()? {
        for block in &page.blocks {
            let Block::Other(rule) = &block.what else { continue };
            if !rule.starts_with("  - name:") || !rule.contains("subjects:") {
                continue;
            }
            count += 1;
            std::fs::write(&file, format!("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules:\n{rule}"))?;
            let mut check = Command::new(Built::here()?.host("barepod")?);
            let output = check.args(["policy", "check", "--offline", "--policy"]).arg(&file).output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}:{}: {said}", page.path.display(), block.line);
        }
    }
    assert!(count >= 2, "only {count} rules were found");
    Ok(())
}

/// What was so once is no page of what is so.
fn is_present(page: &Page) -> bool {
    page.path != Path::new("CHANGELOG.md") && !page.path.starts_with("agent/decisions")
}

#[test]
fn every_test_that_a_page_names_is_there() -> Result {
    let search = ["grep", "--untracked", "-h", "-o", "-E", "fn [a-z0-9_]+", "--", "*.rs"];
    let output = Command::new("git").args(search).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output()?;
    let text = String::from_utf8(output.stdout)?;
    let known: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("fn ")).collect();
    let is_name = |code: &str| {
        code.matches('_').count() >= 4 && code.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'))
    };
    let mut count = 0;
    for page in pages::all()?.iter().filter(|page| page.path.starts_with("agent/docs")) {
        for code in page.codes.iter().filter(|code| is_name(&code.what)) {
            count += 1;
            assert!(
                known.contains(&*code.what),
                "{}:{}: there is no test {}",
                page.path.display(),
                code.line,
                code.what
            );
        }
    }
    assert!(count > 20, "only {count} names were found");
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> Result {
    let broken: Vec<_> = links::broken(&pages::all()?)
        .into_iter()
        .map(|(page, link)| format!("{}:{}: {}", page.display(), link.line, link.what))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}
