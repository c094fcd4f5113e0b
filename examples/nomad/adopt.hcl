# A pod that runs on this host already, such as one of /etc/barepod/manifests, as a task: its log, statistics and `nomad alloc exec`.
# When the job ends the pod runs on. `barepod nomad setup` and barepod-bridge do this for every pod by themselves, so that it is counted.
job "look-after-hello" {
  group "main" {
    task "hello" {
      driver = "barepod"
      config {
        adopt = "default/hello"
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
