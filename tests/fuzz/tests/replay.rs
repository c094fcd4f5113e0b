//! Every corpus, and everything that a fuzzer ever found, on a stable toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use barepod_fuzz::{TARGETS, run};

fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn each_target_stands_its_corpus() {
    for (target, _) in TARGETS {
        let files = corpus(target);
        assert!(files.len() >= 5, "{target}: a corpus of {}", files.len());
        for file in files {
            // If it panics, this is the last line before it.
            println!("{}", file.display());
            run(target, &fs::read(&file).expect("it can be read"));
        }
    }
}

/// Numbers that look random (Knuth's MMIX generator) and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides.max(1)
    }
}

#[test]
fn each_target_stands_damage_to_its_corpus() {
    let mut dice = Dice(7);
    for (target, _) in TARGETS {
        for file in corpus(target) {
            let whole = fs::read(&file).expect("it can be read");
            for _ in 0..20 {
                let mut data = whole.clone();
                for _ in 0..=dice.roll(3) {
                    let at = dice.roll(data.len());
                    match dice.roll(3) {
                        0 if !data.is_empty() => data[at] = u8::try_from(dice.roll(256)).expect("a byte"),
                        1 => drop(data.drain(at..data.len().min(at + 9))),
                        _ => data.truncate(at),
                    }
                }
                run(target, &data);
            }
        }
    }
}

#[test]
fn each_target_has_its_file_for_the_fuzzer() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).expect("it is there");
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
        let source = fs::read_to_string(directory.join(format!("fuzz_targets/{target}.rs"))).expect(target);
        assert!(source.contains(&format!("\"{target}\"")), "{target}");
    }
}
