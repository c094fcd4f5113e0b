//! What others than barepod have booked on this host: kept over the daemon's own life, for whoever says it may be away, and
//! the bookings are there all the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barepod_api::{refusal, v1};
use barepod_core::{Booking, Input};
use barepod_model::Reason;
use tokio::sync::Mutex;
use tonic::{Code, Status};

use crate::board::Board;
use crate::grpc::amounts;
use crate::supervisor::Handle;

/// The file, and who must know.
#[derive(Debug, Clone)]
pub(crate) struct Bookings {
    path: PathBuf,
    board: Arc<Board>,
    supervisor: Handle,
    /// One at a time, so that file, core and board say the same.
    turn: Arc<Mutex<()>>,
}

/// What was said last. A file that cannot be read is told of: until it is said again, nothing is booked.
pub(crate) fn load(state: &Path) -> Booking {
    let path = file(state);
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Booking::default(),
        Err(error) => return unreadable(&path, &error),
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| unreadable(&path, &error))
}

fn file(state: &Path) -> PathBuf {
    state.join("booked-by-others.json")
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Booking {
    tracing::warn!(path = %path.display(), "what others have booked is not known until they say it again: {error}");
    Booking::default()
}

fn save(path: &Path, booking: &Booking) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs_err::File::create(&new)?;
    serde_json::to_writer(&mut file, booking)?;
    file.sync_all()?;
    fs_err::rename(&new, path)?;
    path.parent().map_or(Ok(()), |directory| fs_err::File::open(directory)?.sync_all())
}

impl Bookings {
    pub(crate) fn new(state: &Path, board: Arc<Board>, supervisor: Handle) -> Self {
        Self { path: file(state), board, supervisor, turn: Arc::default() }
    }

    /// Takes the place of what was said before.
    ///
    /// # Errors
    /// It makes no sense, or cannot be kept.
    pub(crate) async fn book(&self, said: v1::Booking) -> Result<(), Status> {
        let booking = understood(said)?;
        let _turn = self.turn.lock().await;
        if self.board.others() == booking {
            return Ok(());
        }
        let (path, kept) = (self.path.clone(), booking.clone());
        let saved = tokio::task::spawn_blocking(move || save(&path, &kept)).await;
        saved.map_err(io::Error::other).flatten().map_err(|error| {
            refusal(Code::Unavailable, Reason::LedgerUnavailable.as_str(), format!("it cannot be kept: {error}"))
        })?;
        tracing::info!(?booking, "what others have booked is another");
        self.supervisor.tell(Input::Booked { others: Box::new(booking.clone()) }).await;
        self.supervisor.pulse().await;
        self.board.put_others(booking);
        Ok(())
    }
}

fn understood(said: v1::Booking) -> Result<Booking, Status> {
    let port = |number: u32| {
        let wrong = || refusal(Code::InvalidArgument, Reason::InvalidValue.as_str(), format!("{number} is no port"));
        u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(wrong)
    };
    Ok(Booking {
        amounts: amounts::from_message(said.amounts.unwrap_or_default()),
        ports: said.ports.into_iter().map(port).collect::<Result<_, _>>()?,
        cpus: said.cpus.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_again_and_a_file_that_is_no_good_is_as_none() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(load(state.path()), Booking::default());
        let booking = Booking { ports: [80, 443].into(), ..Booking::default() };
        save(&file(state.path()), &booking).unwrap();
        assert_eq!(load(state.path()), booking);
        std::fs::write(file(state.path()), "{").unwrap();
        assert_eq!(load(state.path()), Booking::default());
    }

    #[test]
    fn what_is_no_port_is_refused() {
        let said = |ports: &[u32]| understood(v1::Booking { ports: ports.to_vec(), ..v1::Booking::default() });
        assert_eq!(said(&[5432]).unwrap().ports, [5432].into());
        for wrong in [0, 65_536] {
            assert!(said(&[wrong]).unwrap_err().message().contains("is no port"));
        }
    }
}
