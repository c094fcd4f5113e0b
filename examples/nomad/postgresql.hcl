# PostgreSQL on a claim: /var/lib/barepod/volumes/default/shop-db of the host that it is placed on. Nobody removes that, and the next
# allocation on the host has it again. Its process outlives drain, purge and the agent.
#
# The password: nomad var put nomad/jobs/shop password=...
job "shop" {
  group "db" {
    network {
      port "pg" {
        static = 5432
      }
    }
    task "postgresql" {
      driver = "barepod"
      config {
        on_stop = "detach"
        ports   = ["pg"]
        pod     = <<-POD
          apiVersion: v1
          kind: PersistentVolumeClaim
          metadata: {name: shop-db}
          spec:
            accessModes: [ReadWriteOnce]
            resources: {requests: {storage: 1Gi}}
          ---
          apiVersion: v1
          kind: Pod
          metadata: {name: postgresql}
          spec:
            containers:
              - name: postgresql
                image: postgres:15
                args: [-c, port=5432]
                volumeMounts: [{name: data, mountPath: /var/lib/postgresql/data}]
            volumes:
              - name: data
                persistentVolumeClaim: {claimName: shop-db}
        POD
      }
      template {
        destination = "secrets/password.env"
        env         = true
        data        = <<-ENV
          {{ with nomadVar "nomad/jobs/shop" }}POSTGRES_PASSWORD={{ .password }}{{ end }}
        ENV
      }
      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
