# A program of the host as a task. A rule of /etc/barepod/policy.yaml with `sources: [nomad]` must allow it.
job "hello" {
  group "main" {
    task "hello" {
      driver = "barepod"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo hello from ${NOMAD_JOB_NAME}; while :; do sleep 1; done"]
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
