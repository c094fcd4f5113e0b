#[path = "../src/generate.rs"]
mod generate;
fn main() -> anyhow::Result<()> {
    generate::run(std::env::args().any(|a| a == "--check"))
}
