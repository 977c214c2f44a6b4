package main

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// The types of this file are what --json prints. Scripts rely on them: a key keeps
// its name and type, and is always present. Keys may be added.

type serviceJSON struct {
	Service  string `json:"service"`
	Passing  int    `json:"passing"`
	Warning  int    `json:"warning"`
	Critical int    `json:"critical"`
	Draining int    `json:"draining"`
}

type instanceJSON struct {
	ID             string            `json:"id"`
	Service        string            `json:"service"`
	Address        string            `json:"address"`
	Port           int               `json:"port"`
	Status         registry.Status   `json:"status"`
	Version        string            `json:"version"`
	Tags           []string          `json:"tags"`
	Metadata       map[string]string `json:"metadata"`
	Weight         int               `json:"weight"`
	HealthEndpoint string            `json:"health_endpoint"`
	RegisteredAt   time.Time         `json:"registered_at"`
}

func newInstanceJSON(s registry.ServiceInfo) instanceJSON {
	i := instanceJSON{
		ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Status: s.Status, Version: s.Version,
		Tags: s.Tags, Metadata: s.Metadata, Weight: s.Weight, HealthEndpoint: s.HealthEndpoint, RegisteredAt: s.RegisteredAt,
	}
	if i.Tags == nil {
		i.Tags = []string{}
	}
	if i.Metadata == nil {
		i.Metadata = map[string]string{}
	}
	return i
}

func newInstancesJSON(services []registry.ServiceInfo) []instanceJSON {
	list := make([]instanceJSON, len(services))
	for i, s := range services {
		list[i] = newInstanceJSON(s)
	}
	return list
}

type leasedInstanceJSON struct {
	instanceJSON
	Note      string     `json:"note"`
	ExpiresAt *time.Time `json:"expires_at"` // null where registrations do not expire
}

func newLeasedInstanceJSON(i registry.Instance) leasedInstanceJSON {
	l := leasedInstanceJSON{instanceJSON: newInstanceJSON(i.ServiceInfo), Note: i.Note}
	if !i.ExpiresAt.IsZero() {
		l.ExpiresAt = &i.ExpiresAt
	}
	return l
}

type snapshotJSON struct {
	Service   string         `json:"service"`
	Instances []instanceJSON `json:"instances"`
	Others    []instanceJSON `json:"others"`
	Revision  string         `json:"revision"` // 64 bits: more than a JSON number keeps everywhere
	AsOf      *time.Time     `json:"as_of"`    // null before the first state
	Stale     *string        `json:"stale"`
}

func newSnapshotJSON(s registry.Snapshot) snapshotJSON {
	j := snapshotJSON{
		Service:   s.Service,
		Instances: newInstancesJSON(s.Instances),
		Others:    newInstancesJSON(s.Others),
		Revision:  strconv.FormatUint(s.Revision, 10),
	}
	if !s.AsOf.IsZero() {
		utc := s.AsOf.UTC()
		j.AsOf = &utc
	}
	if s.Stale != nil {
		reason := s.Stale.Error()
		j.Stale = &reason
	}
	return j
}

func addJSONFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print JSON for scripts")
}

// writeJSON writes a value on one line.
func writeJSON(w io.Writer, value any) error {
	return json.NewEncoder(w).Encode(value)
}
