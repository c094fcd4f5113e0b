// A Nomad server with simulated clients, each with services that are counted by jobs pinned to it: what the server does when
// clients come back. Prints one JSON object per line.
//
// The clients speak the server's RPC as real ones do (`client/client.go`): they register, send heartbeats, ask for their
// allocations, and say that those run. Made into a program by `cargo xtask setup`, run by `cargo xtask bench --only nomad-fleet`.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/helper"
	"github.com/hashicorp/nomad/helper/pool"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/yamux"
)

const region = "global"

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// server is a real one, a process of its own.
type server struct {
	process *exec.Cmd
	http    string
	rpc     net.Addr
}

func port() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func start(program, directory string) *server {
	ports := []int{port(), port(), port()}
	local := "127.0.0.1"
	config := map[string]any{
		"data_dir": filepath.Join(directory, "data"), "bind_addr": local, "log_level": "WARN", "disable_update_check": true,
		"advertise": map[string]string{"http": local, "rpc": local, "serf": local},
		"ports":     map[string]int{"http": ports[0], "rpc": ports[1], "serf": ports[2]},
		"server": map[string]any{
			"enabled": true, "bootstrap_expect": 1, "raft_multiplier": 1,
			// Clients that stop are missed soon.
			"min_heartbeat_ttl": "5s", "heartbeat_grace": "2s", "max_heartbeats_per_second": 1000,
		},
		"limits": map[string]any{"http_max_conns_per_client": 0, "rpc_max_conns_per_client": 0},
	}
	text, err := json.Marshal(config)
	must(err)
	file := filepath.Join(directory, "agent.json")
	must(os.WriteFile(file, text, 0o600))
	logs, err := os.Create(filepath.Join(directory, "agent.log"))
	must(err)
	process := exec.Command(program, "agent", "-config", file)
	process.Stdout, process.Stderr = logs, logs
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(process.Start())
	rpc, err := net.ResolveTCPAddr("tcp", fmt.Sprintf("%s:%d", local, ports[1]))
	must(err)
	s := &server{process: process, http: fmt.Sprintf("http://%s:%d", local, ports[0]), rpc: rpc}
	until("the server to have a leader", func() bool {
		var leader string
		return s.get("/v1/status/leader", &leader) == nil && leader != ""
	})
	return s
}

func until(what string, is func() bool) {
	for begin := time.Now(); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > 10*time.Minute {
			log.Fatalf("waited in vain for %s", what)
		}
	}
}

func (s *server) get(path string, into any) error { return s.ask(http.MethodGet, path, nil, into) }

func (s *server) ask(method, path string, body, into any) error {
	text, err := json.Marshal(body)
	must(err)
	request, err := http.NewRequest(method, s.http+path, bytes.NewReader(text))
	must(err)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, why)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// seconds that the server's process has spent.
func (s *server) seconds() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	must(err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	must(err)
	system, err := strconv.ParseFloat(fields[12], 64)
	must(err)
	return (user + system) / 100
}

// evaluations there are, and whether one is yet to be done.
func (s *server) evaluations() (total int, open bool) {
	var all []struct{ Status, TriggeredBy string }
	must(s.get("/v1/evaluations", &all))
	for _, one := range all {
		// Of a client that is missed, one for each job waits until it is taken for lost: a year.
		waits := one.TriggeredBy == structs.EvalTriggerMaxDisconnectTimeout
		open = open || one.Status == structs.EvalStatusPending && !waits
	}
	return len(all), open
}

// quiet waits until all evaluations are done, and stay so.
func (s *server) quiet() int {
	calm, before := 0, -1
	for calm < 4 {
		time.Sleep(time.Second)
		total, open := s.evaluations()
		if open || total != before {
			calm = 0
		} else {
			calm++
		}
		before = total
	}
	return before
}

// client is a simulated one.
type client struct {
	server *server
	// Its own connection, as each client has one.
	pool  *pool.ConnPool
	node  *structs.Node
	known bool
	mutex sync.Mutex
	away  bool
}

func newClient(server *server, number int) *client {
	address := fmt.Sprintf("10.%d.%d.1", number/250, number%250)
	node := &structs.Node{
		ID: uuid.Generate(), SecretID: uuid.Generate(), Datacenter: "dc1", Name: fmt.Sprintf("host-%d", number),
		Drivers: map[string]*structs.DriverInfo{"barepod": {Detected: true, Healthy: true}},
		Attributes: map[string]string{
			"kernel.name": "linux", "nomad.version": "1.11.3", "driver.barepod": "1", "driver.barepod.version": "0.1.0",
		},
		NodeResources: &structs.NodeResources{
			Processors: structs.NodeProcessorResources{Topology: structs.MockBasicTopology()},
			Memory:     structs.NodeMemoryResources{MemoryMB: 65536},
			Disk:       structs.NodeDiskResources{DiskMB: 1 << 20},
			Networks:   []*structs.NetworkResource{{Mode: "host", Device: "eth0", IP: address, CIDR: address + "/32"}},
			NodeNetworks: []*structs.NodeNetworkResource{{
				Mode: "host", Device: "eth0",
				Addresses: []structs.NodeNetworkAddress{{
					Alias: "default", Address: address, Family: structs.NodeNetworkAF_IPv4,
				}},
			}},
		},
		ReservedResources: &structs.NodeReservedResources{},
		NodePool:          structs.NodePoolDefault,
		Status:            structs.NodeStatusInit,
	}
	node.NodeResources.Compatibility()
	connections := pool.NewPool(hclog.NewNullLogger(), 0, 8, nil, yamux.DefaultConfig())
	return &client{server: server, pool: connections, node: node}
}

// call asks once more where a busy server has ended the connection, as real clients do.
func (c *client) call(method string, args, reply any) error {
	var err error
	for range 100 {
		if err = c.pool.RPC(region, c.server.rpc, method, args, reply); !helper.IsErrEOF(err) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
	return err
}

func (c *client) request() structs.WriteRequest {
	return structs.WriteRequest{Region: region, AuthToken: c.node.SecretID}
}

func (c *client) register() error {
	var reply structs.NodeUpdateResponse
	request := c.request()
	if !c.known {
		// Nobody knows its secret yet.
		request.AuthToken = ""
	}
	err := c.call("Node.Register", &structs.NodeRegisterRequest{Node: c.node, WriteRequest: request}, &reply)
	c.known = c.known || err == nil
	return err
}

// ready is a heartbeat.
func (c *client) ready() time.Duration {
	var reply structs.NodeUpdateResponse
	request := &structs.NodeUpdateStatusRequest{
		NodeID: c.node.ID, Status: structs.NodeStatusReady, WriteRequest: c.request(),
	}
	must(c.call("Node.UpdateStatus", request, &reply))
	return reply.HeartbeatTTL
}

func (c *client) begin() {
	// A server that has just begun has no keys yet.
	until("a client to be registered", func() bool { return c.register() == nil })
	c.ready()
	go func() {
		for {
			if c.isAway() {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			time.Sleep(c.ready() / 2)
		}
	}()
	go c.follow()
}

func (c *client) isAway() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.away
}

func (c *client) setAway(away bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.away = away
}

// allocations of this node that are to run.
func (c *client) allocations(after uint64) ([]*structs.Allocation, uint64) {
	request := &structs.NodeSpecificRequest{
		NodeID: c.node.ID, SecretID: c.node.SecretID,
		QueryOptions: structs.QueryOptions{
			Region: region, AuthToken: c.node.SecretID, MinQueryIndex: after, MaxQueryTime: time.Minute, AllowStale: true,
		},
	}
	var reply structs.NodeAllocsResponse
	must(c.call("Node.GetAllocs", request, &reply))
	var wanted []*structs.Allocation
	for _, one := range reply.Allocs {
		if one.DesiredStatus == structs.AllocDesiredStatusRun {
			wanted = append(wanted, one)
		}
	}
	return wanted, reply.Index
}

// follow says of what is new that it runs.
func (c *client) follow() {
	var index uint64
	for {
		wanted, now := c.allocations(index)
		index = now
		if c.isAway() {
			continue
		}
		var pending []*structs.Allocation
		for _, one := range wanted {
			if one.ClientStatus == structs.AllocClientStatusPending {
				pending = append(pending, one)
			}
		}
		c.runs(pending)
	}
}

func (c *client) runs(allocations []*structs.Allocation) {
	if len(allocations) == 0 {
		return
	}
	var updates []*structs.Allocation
	for _, one := range allocations {
		state := &structs.TaskState{State: structs.TaskStateRunning, StartedAt: time.Now()}
		updates = append(updates, &structs.Allocation{
			ID: one.ID, NodeID: c.node.ID, Namespace: one.Namespace, JobID: one.JobID, TaskGroup: one.TaskGroup,
			ClientStatus: structs.AllocClientStatusRunning, TaskStates: map[string]*structs.TaskState{"pod": state},
		})
	}
	var reply structs.GenericResponse
	must(c.call("Node.UpdateAlloc", &structs.AllocUpdateRequest{Alloc: updates, WriteRequest: c.request()}, &reply))
}

// again is what a client does that comes back from where it was missed.
func (c *client) again() {
	must(c.register())
	c.ready()
	wanted, _ := c.allocations(0)
	c.runs(wanted)
	c.ready()
	c.setAway(false)
}

// job is one as the registrar makes it (agent/registrar/src/job.rs), of either type.
func (c *client) job(kind string, number int) map[string]any {
	id := fmt.Sprintf("barepod-%s-default.service-%d", c.node.ID[:8], number)
	second := int64(time.Second)
	group := map[string]any{
		"Name": "pod", "Count": 1, "EphemeralDisk": map[string]any{"SizeMB": 10},
		"Disconnect": map[string]any{"LostAfter": 8760 * 3600 * second, "Replace": false, "Reconcile": "keep_original"},
		"Networks": []any{map[string]any{
			"Mode": "host", "ReservedPorts": []any{map[string]any{"Label": "p", "Value": 5000 + number}},
		}},
		"Tasks": []any{map[string]any{
			"Name": "pod", "Driver": "barepod", "Config": map[string]any{"adopt": "default/x", "on_stop": "detach"},
			"Resources": map[string]any{"CPU": 100, "MemoryMB": 256}, "LogConfig": map[string]any{"MaxFiles": 1, "MaxFileSizeMB": 5},
		}},
	}
	job := map[string]any{
		"ID": id, "Name": id, "Type": kind, "Priority": 100, "Datacenters": []string{"*"},
		"Constraints": []any{map[string]any{"LTarget": "${node.unique.id}", "RTarget": c.node.ID, "Operand": "="}},
		"TaskGroups":  []any{group},
	}
	if kind == structs.JobTypeService {
		job["Update"] = map[string]any{"MaxParallel": 0}
	}
	return job
}

// figures of one event.
type figures struct {
	Type        string  `json:"type"`
	Event       string  `json:"event"`
	Clients     int     `json:"clients"`
	Evaluations int     `json:"evaluations"`
	Seconds     float64 `json:"seconds"`
	Duration    float64 `json:"duration"`
}

func measure(program, kind string, nodes, services int, counts []int) {
	directory, err := os.MkdirTemp("", "nomad-fleet-")
	must(err)
	defer os.RemoveAll(directory)
	server := start(program, directory)
	defer func() {
		_ = server.process.Process.Kill()
		_ = server.process.Wait()
	}()
	clients := make([]*client, nodes)
	for number := range clients {
		clients[number] = newClient(server, number)
		clients[number].begin()
	}
	observe := func(event string, clients int, act func()) {
		before, spent, begin := server.quiet(), server.seconds(), time.Now()
		idle := server.seconds()
		time.Sleep(10 * time.Second)
		// What heartbeats and this program's own questions cost all the time is no cost of the event.
		rate := (server.seconds() - idle) / 10
		spent, begin = server.seconds(), time.Now()
		act()
		after := server.quiet()
		took := time.Since(begin).Seconds()
		text, err := json.Marshal(figures{
			Type: kind, Event: event, Clients: clients, Evaluations: after - before,
			Seconds: max(server.seconds()-spent-rate*took, 0), Duration: took,
		})
		must(err)
		fmt.Println(string(text))
	}
	observe("registered", nodes, func() {
		for _, client := range clients {
			for number := range services {
				var reply map[string]any
				must(server.ask(http.MethodPut, "/v1/jobs", map[string]any{"Job": client.job(kind, number)}, &reply))
			}
		}
		until("all to run", func() bool {
			var all []struct{ ClientStatus string }
			must(server.get("/v1/allocations", &all))
			running := 0
			for _, one := range all {
				if one.ClientStatus == structs.AllocClientStatusRunning {
					running++
				}
			}
			return running == nodes*services
		})
	})
	each := func(some []*client, act func(*client)) {
		var all sync.WaitGroup
		for _, one := range some {
			all.Go(func() { act(one) })
		}
		all.Wait()
	}
	for _, count := range counts {
		some := clients[:count]
		observe("restarted", count, func() { each(some, func(c *client) { must(c.register()); c.ready() }) })
		observe("changed", count, func() {
			each(some, func(c *client) {
				c.node.Attributes["driver.barepod.version"] = uuid.Generate()
				must(c.register())
				c.ready()
			})
		})
		observe("missed", count, func() {
			each(some, func(c *client) { c.setAway(true) })
			until("the clients to be missed", func() bool {
				var all []struct{ Status string }
				must(server.get("/v1/nodes", &all))
				missed := 0
				for _, one := range all {
					if one.Status != structs.NodeStatusReady {
						missed++
					}
				}
				return missed == count
			})
		})
		observe("returned", count, func() { each(some, (*client).again) })
	}
}

func main() {
	program := flag.String("nomad", "nomad", "the server's program")
	kind := flag.String("type", structs.JobTypeService, "of the jobs: service or system")
	nodes := flag.Int("nodes", 100, "simulated clients")
	services := flag.Int("services", 20, "jobs of each")
	counts := flag.String("restart", "1,10,100", "how many come back at a time")
	flag.Parse()
	var numbers []int
	for _, word := range strings.Split(*counts, ",") {
		number, err := strconv.Atoi(word)
		must(err)
		numbers = append(numbers, number)
	}
	measure(*program, *kind, *nodes, *services, numbers)
}
