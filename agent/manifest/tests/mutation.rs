//! Whatever a file holds, reading it ends with an answer: thousands of damaged manifests, always the same ones.

use std::fs;
use std::path::Path;

use barepod_manifest::read_bytes;

/// Numbers that look random (Knuth's MMIX generator) and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides.max(1)
    }
}

const MORSELS: [&[u8]; 16] = [
    b"\t", b"- ", b": ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"!!int ", b"\"", b"|\n", b"\xff", b"\0", b"<<: ",
    b"---\n",
];

fn damage(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(text.len());
        match dice.roll(5) {
            0 if !text.is_empty() => text[at] = u8::try_from(dice.roll(256)).expect("a byte"),
            1 => drop(text.drain(at..text.len().min(at + dice.roll(40)))),
            2 => drop(text.splice(at..at, MORSELS[dice.roll(MORSELS.len())].iter().copied())),
            3 => {
                let piece = text[at..text.len().min(at + dice.roll(80))].to_vec();
                let to = dice.roll(text.len());
                drop(text.splice(to..to, piece));
            }
            _ => text.truncate(at),
        }
    }
    text
}

#[test]
fn no_damage_makes_reading_panic_or_leaves_it_without_an_answer() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut files: Vec<_> = fs::read_dir(dir).expect("the corpus").flatten().map(|e| e.path()).collect();
    files.sort();
    let mut dice = Dice(3);
    let mut refused = 0;
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "yaml")) {
        let text = fs::read(path).expect("read");
        for _ in 0..60 {
            if let Err(errors) = read_bytes("x.yaml", &damage(&text, &mut dice)) {
                assert!(!errors.is_empty(), "refused without a word: {}", path.display());
                refused += 1;
            }
        }
    }
    assert!(refused > 5_000, "the damage is real: {refused}");
}
