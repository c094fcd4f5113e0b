//! Frames of the wires: what one process says to another, whole or in pieces.

use barepod_prober_wire as prober;
use barepod_shim::wire;
use barepod_shim::wire::{Frames, encode_frame, read_frame};
use prost::Message;

/// As the daemon and the shim read each other.
pub(crate) fn shim_frames(data: &[u8]) {
    read_shim::<wire::Request>(data);
    read_shim::<wire::Event>(data);
    read_shim::<wire::Exec>(data);
    // What a shim leaves for the one after it is a message without a frame.
    wire::AttemptRecord::decode(data).ok();
    wire::ExitRecord::decode(data).ok();
    wire::Handover::decode(data).ok();
}

/// In one piece and byte by byte it means the same, and what was read can be written again.
fn read_shim<M: Message + Default + PartialEq>(data: &[u8]) {
    let mut whole = Frames::default();
    whole.push(data);
    let whole = all(|| whole.take::<M>());
    let mut frames = Frames::default();
    let mut pieces = Vec::new();
    let mut sound = true;
    for byte in data {
        frames.push(&[*byte]);
        match frames.take::<M>() {
            Ok(found) => pieces.extend(found),
            Err(_) => {
                sound = false;
                break;
            }
        }
    }
    assert_eq!(sound, whole.1, "pieces and whole differ in what is an error");
    // An error in the whole may come before a piece of a later frame is looked at, not after.
    assert!(whole.0 == pieces, "pieces and whole differ");
    for message in &whole.0 {
        let again = encode_frame(message).expect("what was read fits into a frame");
        let back: Option<M> = read_frame(&mut again.as_slice()).expect("what was written can be read");
        assert!(back.as_ref() == Some(message));
    }
}

/// As the daemon and the prober read each other.
pub(crate) fn prober_frames(data: &[u8]) {
    read_prober::<prober::ToProber>(data);
    read_prober::<prober::FromProber>(data);
}

fn read_prober<M: Message + Default + PartialEq>(data: &[u8]) {
    let mut frames = prober::Frames::default();
    frames.push(data);
    for message in all(|| frames.take::<M>()).0 {
        let again = prober::encode(&message).expect("what was read fits into a frame");
        let mut frames = prober::Frames::default();
        frames.push(&again);
        assert!(frames.take::<M>().is_ok_and(|back| back.as_ref() == Some(&message)));
    }
}

/// All whole messages, and whether they end without an error.
fn all<M, E>(mut take: impl FnMut() -> Result<Option<M>, E>) -> (Vec<M>, bool) {
    let mut found = Vec::new();
    loop {
        match take() {
            Ok(Some(message)) => found.push(message),
            Ok(None) => return (found, true),
            Err(_) => return (found, false),
        }
    }
}
