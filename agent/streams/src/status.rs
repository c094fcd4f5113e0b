//! How a command ended, as the client is told on the error stream.

use serde_json::{Value, json};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0, or, attached, when there was no more to say.
    Success,
    /// With another exit code.
    ExitCode(i32),
    /// It could not be run, or was lost sight of.
    Failed(String),
}

impl Outcome {
    /// A metav1.Status, as JSON.
    pub(crate) fn json(&self) -> String {
        self.status().to_string()
    }

    /// Before version 4: nothing, or what is wrong.
    pub(crate) fn text(&self) -> Option<String> {
        self.status()["message"].as_str().map(str::to_owned)
    }

    /// With the reasons by which client-go knows an exit code.
    fn status(&self) -> Value {
        match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::ExitCode(code) => json!({
                "metadata": {},
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": format!("command terminated with non-zero exit code: {code}"),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(why) => json!({
                "metadata": {},
                "status": "Failure",
                "reason": "InternalError",
                "message": format!("Internal error occurred: {why}"),
                "details": {"causes": [{"message": why}]},
                "code": 500,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_where_client_go_looks_for_it() {
        let status: Value = serde_json::from_str(&Outcome::ExitCode(42).json()).unwrap();
        assert_eq!((&status["status"], &status["reason"]), (&json!("Failure"), &json!("NonZeroExitCode")));
        assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "42"}]));
    }

    #[test]
    fn before_version_4_success_is_silence() {
        assert_eq!(Outcome::Success.text(), None);
        assert_eq!(Outcome::Failed("no shell".to_owned()).text().as_deref(), Some("Internal error occurred: no shell"));
    }
}
