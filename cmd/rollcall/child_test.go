package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// childVariable makes the test binary a server that "rollcall run" starts. Its
// value is "stubborn" for one that does not end at SIGTERM, or "server".
const childVariable = "ROLLCALL_TEST_CHILD"

// child serves HTTP on the address of its first argument and prints each signal.
// At SIGTERM it prints which instances of "api" are listed, and ends with code 5.
// GET /exit?code=N ends it; GET /health answers 503 after GET /fail.
func child() int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Println("child:", err)
		return 1
	}
	exit := make(chan int, 1)
	var failing atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		exit <- code
	})
	mux.HandleFunc("/fail", func(http.ResponseWriter, *http.Request) { failing.Store(true) })
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			http.Error(w, "disk full", http.StatusServiceUnavailable)
		}
	})
	go func() { _ = http.Serve(l, mux) }() // the process ends with main
	fmt.Printf("child serves on %s, PORT=%s\n", l.Addr(), os.Getenv("PORT"))
	for {
		select {
		case code := <-exit:
			return code
		case s := <-signals:
			fmt.Println("child received", s)
			if s == syscall.SIGTERM {
				fmt.Println("child sees", listed())
			}
			if s == syscall.SIGTERM && os.Getenv(childVariable) != "stubborn" {
				return 5
			}
		}
	}
}

// listed says how many instances of "api" the backend lists.
func listed() string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	backend, err := registry.Open(ctx, os.Getenv(backendVariable))
	if err != nil {
		return err.Error()
	}
	defer backend.Close()
	instances, err := backend.Instances(ctx, "api")
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d instances", len(instances))
}
