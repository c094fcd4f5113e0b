//! What the project shows to its users must be accepted without a word.

use std::path::Path;

#[test]
fn the_examples_are_read_without_a_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let text = std::fs::read_to_string(root.join("postgresql/pod.yaml")).expect("the example is there");
    let pods = barepod_manifest::read("pod.yaml", &text).expect("the example is valid");
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].warnings, []);
    let request = &pods[0].containers[0].request;
    assert_eq!(request.image, "postgres:15");
    assert_eq!(request.resources.memory_request, request.resources.memory_limit);
}
