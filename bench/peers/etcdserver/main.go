// Command etcdserver runs one embedded etcd on a directory that its caller
// removes, prints its client URL and serves until its standard input ends.
package main

import (
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	cfg := embed.NewConfig()
	cfg.Dir = os.Args[1]
	cfg.LogLevel = "error"
	// Redis keeps nothing on disk in these measurements, so etcd need not wait
	// for its disk either.
	cfg.UnsafeNoFsync = true
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{local}, []url.URL{local}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		log.Fatal(err)
	case <-time.After(time.Minute):
		log.Fatal("etcd is not ready after a minute")
	}
	fmt.Println("http://" + e.Clients[0].Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	e.Close()
}
