package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rollcall-sd/rollcall/registry"
)

// etcd is service discovery on etcd, as its own client invites to: a key per
// instance under the service's prefix, all of a process on one lease, which its
// keep-alive renews; reads are linearizable, as is etcd's default.
type etcd struct {
	b      testing.TB
	client *clientv3.Client
	lease  clientv3.LeaseID
}

// startEtcd runs the server in a process of its own.
func startEtcd(b testing.TB) *etcd {
	program := filepath.Join(b.TempDir(), "etcdserver")
	if out, err := exec.Command("go", "build", "-o", program, "./etcdserver").CombinedOutput(); err != nil {
		b.Fatalf("building etcdserver: %v\n%s", err, out)
	}
	cmd := exec.Command(program, filepath.Join(b.TempDir(), "data"))
	stdin, err := cmd.StdinPipe()
	check(b, err)
	stdout, err := cmd.StdoutPipe()
	check(b, err)
	check(b, cmd.Start())
	b.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	endpoint, err := bufio.NewReader(stdout).ReadString('\n')
	check(b, err)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{strings.TrimSpace(endpoint)}, DialTimeout: 10 * time.Second})
	check(b, err)
	b.Cleanup(func() { client.Close() })
	lease, err := client.Grant(ctx, 1800)
	check(b, err)
	return &etcd{b: b, client: client, lease: lease.ID}
}

func prefix(service string) string { return "/services/" + service + "/" }

func (e *etcd) Register(ctx context.Context, s registry.ServiceInfo) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = e.client.Put(ctx, prefix(s.Name)+s.ID, string(data), clientv3.WithLease(e.lease))
	return err
}

func (e *etcd) Discover(ctx context.Context, service string) ([]registry.ServiceInfo, error) {
	reply, err := e.client.Get(ctx, prefix(service), clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	out := make([]registry.ServiceInfo, len(reply.Kvs))
	for i, kv := range reply.Kvs {
		if err := json.Unmarshal(kv.Value, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// watch sends the time of each change of a service that it sees.
func (e *etcd) watch(service string) <-chan time.Time {
	arrived := make(chan time.Time, 16)
	watching, cancel := context.WithCancel(ctx)
	e.b.Cleanup(cancel)
	changes := e.client.Watch(watching, prefix(service), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-changes
	go func() {
		for change := range changes {
			for _, event := range change.Events {
				var s registry.ServiceInfo
				if json.Unmarshal(event.Kv.Value, &s) == nil {
					arrived <- time.Now()
				}
			}
		}
	}()
	return arrived
}
