// Nomad's own harness for drivers, around the driver that DRIVER names, with a daemon at SOCKET: the judge from outside.
//
// Made into a program by `cargo xtask setup`, run by tests/tests/nomad.rs.
package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/helper/pluginutils/loader"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/nomad/structs/config"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/testutils"
	"github.com/hashicorp/nomad/testutil"
	"github.com/shoenig/test/must"
)

const idle = `trap "exit 7" USR1; trap "exit 0" TERM; echo begun; echo complaint >&2; while :; do sleep 0.05; done`

// harness starts the plugin as a client does.
func harness(t *testing.T) *testutils.DriverHarness {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error})
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: base.Handshake,
		Plugins: map[string]plugin.Plugin{
			base.PluginTypeBase:   &base.PluginBase{},
			base.PluginTypeDriver: drivers.NewDriverPlugin(nil, logger),
		},
		Cmd:              exec.Command(os.Getenv("DRIVER")),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           logger,
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	must.NoError(t, err)
	must.NoError(t, protocol.Ping())
	raw, err := protocol.Dispense(base.PluginTypeDriver)
	must.NoError(t, err)
	driver := raw.(drivers.DriverPlugin)

	settings := struct {
		Socket string `codec:"socket"`
	}{os.Getenv("SOCKET")}
	var packed []byte
	must.NoError(t, base.MsgPackEncode(&packed, &settings))
	must.NoError(t, driver.SetConfig(&base.Config{PluginConfig: packed, ApiVersion: drivers.ApiVersion010}))

	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	prints, err := driver.Fingerprint(ctx)
	must.NoError(t, err)
	healthy := false
	for !healthy {
		select {
		case print := <-prints:
			must.NoError(t, print.Err)
			healthy = print.Health == drivers.HealthStateHealthy
		case <-time.After(20 * time.Second):
			t.Fatal("the driver does not become healthy")
		}
	}
	h := testutils.NewDriverHarness(t, driver)
	t.Cleanup(h.Kill)
	return h
}

// container is what these tests say in a task's config.
type container struct {
	Image   string   `codec:"image,omitempty"`
	Command string   `codec:"command,omitempty"`
	Args    []string `codec:"args,omitempty"`
}

// task is one that runs a line of shell, its config read by the driver's own schema.
func task(t *testing.T, h *testutils.DriverHarness, script string) *drivers.TaskConfig {
	allocation := uuid.Generate()
	task := &drivers.TaskConfig{
		ID:            allocation + "/main/" + uuid.Short(),
		Name:          "main",
		AllocID:       allocation,
		JobID:         "job",
		TaskGroupName: "group",
		Namespace:     "default",
		Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{
				Memory: structs.AllocatedMemoryResources{MemoryMB: 64},
				Cpu:    structs.AllocatedCpuResources{CpuShares: 100},
			},
			LinuxResources: &drivers.LinuxResources{MemoryLimitBytes: 64 << 20, CPUShares: 100, PercentTicks: 0.1},
		},
	}
	schema, err := h.TaskConfigSchema()
	must.NoError(t, err)
	var parsed container
	hcl := fmt.Sprintf("config {\n command = \"/bin/sh\"\n args = [\"-c\", %q]\n}", script)
	hclutils.NewConfigParser(schema).ParseHCL(t, hcl, &parsed)
	must.NoError(t, task.EncodeConcreteDriverConfig(&parsed))
	t.Cleanup(h.MkAllocDir(task, true))
	return task
}

func begin(t *testing.T, h *testutils.DriverHarness, script string) (*drivers.TaskConfig, *drivers.TaskHandle) {
	task := task(t, h, script)
	handle, _, err := h.StartTask(task)
	must.NoError(t, err)
	t.Cleanup(func() { _ = h.DestroyTask(task.ID, true) })
	must.NoError(t, h.WaitUntilStarted(task.ID, 10*time.Second))
	return task, handle
}

func ended(t *testing.T, h *testutils.DriverHarness, id string) *drivers.ExitResult {
	results, err := h.WaitTask(context.Background(), id)
	must.NoError(t, err)
	select {
	case result := <-results:
		return result
	case <-time.After(20 * time.Second):
		t.Fatal("the task does not end")
		return nil
	}
}

// heard waits until a task has written this and nothing else.
func heard(t *testing.T, task *drivers.TaskConfig, text string) {
	says := func() (bool, error) {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(task.StdoutPath), "main.stdout.0"))
		return strings.TrimSpace(string(data)) == text, fmt.Errorf("%q %w", data, err)
	}
	testutil.WaitForResult(says, func(err error) { t.Fatal("stdout", err) })
}

func TestLoader(t *testing.T) {
	driver := filepath.Join(t.TempDir(), "barepod-nomad-driver")
	must.NoError(t, os.Symlink(os.Getenv("DRIVER"), driver))
	plugins, err := loader.NewPluginLoader(&loader.PluginLoaderConfig{
		Logger:    hclog.NewNullLogger(),
		PluginDir: filepath.Dir(driver),
		Configs: []*config.PluginConfig{{
			Name:   filepath.Base(driver),
			Config: map[string]any{"socket": "/nowhere", "disable_log_collection": true},
		}},
		SupportedVersions: loader.AgentSupportedApiVersions,
	})
	must.NoError(t, err)
	found := plugins.Catalog()[base.PluginTypeDriver]
	must.Len(t, 1, found)
	must.Eq(t, "barepod", found[0].Name)
}

func TestStartRecoverWaitStop(t *testing.T) {
	h := harness(t)
	task, handle := begin(t, h, idle)
	must.NoError(t, h.RecoverTask(handle))
	must.NoError(t, h.RecoverTask(handle))
	must.NoError(t, h.StopTask(task.ID, 5*time.Second, ""))
	result := ended(t, h, task.ID)
	must.Eq(t, 0, result.ExitCode)
	must.NoError(t, h.DestroyTask(task.ID, true))
	must.NoError(t, h.DestroyTask(task.ID, true))
	must.NoError(t, h.StopTask(task.ID, 5*time.Second, ""))
	_, err := h.InspectTask(task.ID)
	must.Error(t, err)
}

func TestSignalAndExitCode(t *testing.T) {
	h := harness(t)
	task, _ := begin(t, h, idle)
	must.Error(t, h.SignalTask(task.ID, "SIGNOTHING"))
	// Before its trap is set, the first process of its namespace hears no signal.
	heard(t, task, "begun")
	must.NoError(t, h.SignalTask(task.ID, "SIGUSR1"))
	must.Eq(t, 7, ended(t, h, task.ID).ExitCode)
}

func TestKilledByASignal(t *testing.T) {
	h := harness(t)
	task, _ := begin(t, h, idle)
	must.NoError(t, h.SignalTask(task.ID, "SIGKILL"))
	result := ended(t, h, task.ID)
	must.Eq(t, 9, result.Signal)
}

func TestStopOfOneThatDoesNotListen(t *testing.T) {
	h := harness(t)
	task, _ := begin(t, h, `trap "" TERM; while :; do sleep 0.05; done`)
	must.NoError(t, h.StopTask(task.ID, time.Second, ""))
	must.Eq(t, 9, ended(t, h, task.ID).Signal)
}

func TestFailedStart(t *testing.T) {
	h := harness(t)
	task := task(t, h, "")
	must.NoError(t, task.EncodeConcreteDriverConfig(&container{Command: "/no/such/program"}))
	_, _, err := h.StartTask(task)
	must.ErrorContains(t, err, "/no/such/program")

	task.ID += "1"
	must.NoError(t, task.EncodeConcreteDriverConfig(&container{Image: "no-such-image"}))
	_, _, err = h.StartTask(task)
	must.ErrorContains(t, err, "no-such-image")
	must.False(t, structs.IsRecoverable(err))
}

func TestLogs(t *testing.T) {
	h := harness(t)
	// Over before anybody could see it run.
	task := task(t, h, "echo one; echo two >&2; echo -n three")
	_, _, err := h.StartTask(task)
	must.NoError(t, err)
	t.Cleanup(func() { _ = h.DestroyTask(task.ID, true) })
	must.Eq(t, 0, ended(t, h, task.ID).ExitCode)
	logs := filepath.Dir(task.StdoutPath)
	says := func(file, text string) func() (bool, error) {
		return func() (bool, error) {
			data, err := os.ReadFile(filepath.Join(logs, file))
			return strings.TrimSpace(string(data)) == text, err
		}
	}
	testutil.WaitForResult(says("main.stdout.0", "one\nthree"), func(err error) { t.Fatal("stdout", err) })
	testutil.WaitForResult(says("main.stderr.0", "two"), func(err error) { t.Fatal("stderr", err) })
}

func TestDevicesAndMounts(t *testing.T) {
	h := harness(t)
	shared := t.TempDir()
	must.NoError(t, os.Chmod(shared, 0o755))
	must.NoError(t, os.WriteFile(filepath.Join(shared, "model"), []byte("weights"), 0o644))
	task := task(t, h, `cat /models/model; test -c /dev/zero-of-mine && head -c 3 /dev/zero-of-mine | tr "\0" z; echo; \
		echo "$VISIBLE"; touch /models/x || echo read-only; cat /proc/self/mountinfo >&2`)
	task.Devices = []*drivers.DeviceConfig{{TaskPath: "/dev/zero-of-mine", HostPath: "/dev/zero", Permissions: "rw"}}
	task.Mounts = []*drivers.MountConfig{{TaskPath: "/models", HostPath: shared, Readonly: true, PropagationMode: "private"}}
	task.DeviceEnv = map[string]string{"VISIBLE": "GPU-1"}
	task.Env = map[string]string{"VISIBLE": "GPU-1"}
	_, _, err := h.StartTask(task)
	must.NoError(t, err)
	t.Cleanup(func() { _ = h.DestroyTask(task.ID, true) })
	must.Eq(t, 0, ended(t, h, task.ID).ExitCode)
	heard(t, task, "weightszzz\nGPU-1\nread-only")
}

func TestStats(t *testing.T) {
	h := harness(t)
	task, _ := begin(t, h, idle)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stats, err := h.TaskStats(ctx, task.ID, time.Second)
	must.NoError(t, err)
	select {
	case usage := <-stats:
		must.Positive(t, usage.ResourceUsage.MemoryStats.Usage)
	case <-time.After(10 * time.Second):
		t.Fatal("no stats")
	}
}

func TestExec(t *testing.T) {
	h := harness(t)
	task, _ := begin(t, h, idle)
	result, err := h.ExecTask(task.ID, []string{"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, 10*time.Second)
	must.NoError(t, err)
	must.Eq(t, 3, result.ExitResult.ExitCode)
	must.Eq(t, "out\n", string(result.Stdout))
	must.Eq(t, "err\n", string(result.Stderr))
	testutils.TestExecTaskStreamingBasicResponses(t, h, task.ID)
}
