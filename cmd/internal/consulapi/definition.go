package consulapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 512 << 10

// serviceDefinition is the body of agent/service/register.
type serviceDefinition struct {
	ID, Name          string
	Service           string // the name, in catalog/register
	Tags              []string
	Port              int
	Address           string
	Meta              map[string]string
	TaggedAddresses   map[string]taggedAddress
	Weights           *weightsJSON
	EnableTagOverride bool
	Locality          *locality
	Kind              string          // of a proxy; kept and shown, nothing else
	Proxy             json.RawMessage // the same
	Check             *checkDefinition
	Checks            []*checkDefinition
}

// checkDefinition is a check in a registration, and the body of agent/check/register.
type checkDefinition struct {
	ID, CheckID, Name, Notes, Status, Output string
	ServiceID                                string

	Interval, Timeout, TTL         duration
	DeregisterCriticalServiceAfter duration

	HTTP, Method, Body string
	Header             map[string][]string
	TCP, GRPC          string
	GRPCUseTLS         bool
	TLSSkipVerify      bool
	TLSServerName      string

	// Kinds that do not exist here.
	Script, DockerContainerID, H2PING, UDP, OSService, AliasService, AliasNode string
	Args, ScriptArgs                                                           []string
}

// duration is a text such as "10s", or a number of nanoseconds.
type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	switch v := value.(type) {
	case nil:
	case float64:
		*d = duration(v)
	case string:
		if v == "" {
			return nil
		}
		parsed, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*d = duration(parsed)
	default:
		return fmt.Errorf("a duration is a text such as \"10s\", not %s", text)
	}
	return nil
}

func (d duration) String() string {
	if d == 0 {
		return ""
	}
	return time.Duration(d).String()
}

// UnmarshalJSON accepts names of fields in any case, also with underscores.
func (s *serviceDefinition) UnmarshalJSON(text []byte) error {
	type plain serviceDefinition
	return unmarshalLoosely(text, (*plain)(s))
}

// UnmarshalJSON accepts names of fields in any case, also with underscores.
func (c *checkDefinition) UnmarshalJSON(text []byte) error {
	type plain checkDefinition
	return unmarshalLoosely(text, (*plain)(c))
}

func unmarshalLoosely(text []byte, into any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for name, value := range fields {
		if plain := strings.ReplaceAll(name, "_", ""); plain != name {
			delete(fields, name)
			if _, ok := fields[plain]; !ok {
				fields[plain] = value
			}
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// decodeBody reads a request's JSON.
func decodeBody(w http.ResponseWriter, r *http.Request, into any) error {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body too large, max size: %d bytes", maxBody)}
	case err != nil:
		return badRequest("Request decode failed: %v", err)
	case len(bytes.TrimSpace(text)) == 0:
		return badRequest("Request decode failed: EOF")
	}
	if err := json.Unmarshal(text, into); err != nil {
		return badRequest("Request decode failed: %v", err)
	}
	return nil
}

// validate checks a service as Consul does. What the registry refuses in addition, it
// refuses itself.
func (s *serviceDefinition) validate() error {
	if s.Name == "" {
		s.Name = s.Service
	}
	if s.Name == "" {
		return badRequest("Missing service name")
	}
	if s.ID == "" {
		s.ID = s.Name
	}
	// A list of tags that was made from an empty text has an empty tag.
	s.Tags = slices.DeleteFunc(s.Tags, func(tag string) bool { return tag == "" })
	if string(s.Proxy) == "null" {
		s.Proxy = nil
	}
	if a := s.Address; a == "0.0.0.0" || a == "::" || a == "[::]" {
		return badRequest("Invalid service address")
	}
	if s.Port < 0 || s.Port > 65535 {
		return badRequest("Invalid port: %d is not from 0 to 65535", s.Port)
	}
	if w := s.Weights; w != nil {
		if w.Passing < 0 || w.Warning < 0 {
			return badRequest("Invalid weights: Passing and Warning must not be negative")
		}
		if w.Passing == 0 {
			*w = weightsJSON{1, max(1, w.Warning)}
		}
	}
	return nil
}

// checkList returns the checks of a service, with their IDs and names set.
func (s *serviceDefinition) checkList() ([]*checkDefinition, error) {
	var list []*checkDefinition
	for _, c := range append([]*checkDefinition{s.Check}, s.Checks...) {
		if c == nil || c.isEmpty() {
			continue
		}
		if err := c.validate(); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	seen := make(map[string]bool)
	for i, c := range list {
		if c.CheckID == "" {
			c.CheckID = c.ID
		}
		if c.CheckID == "" {
			c.CheckID = "service:" + s.ID
			if len(list) > 1 {
				c.CheckID = fmt.Sprintf("service:%s:%d", s.ID, i+1)
			}
		}
		if c.Name == "" {
			c.Name = serviceCheckName(s.Name)
		}
		if seen[c.CheckID] {
			return nil, badRequest("Invalid check: the ID %q is used twice", c.CheckID)
		}
		seen[c.CheckID] = true
	}
	return list, nil
}

func (c *checkDefinition) isEmpty() bool {
	return c.kind() == "" && c.unsupported() == "" && c.Status == "" && c.CheckID == "" && c.ID == "" && c.Name == "" && c.Interval == 0
}

// kind is what runs the check, "" for none.
func (c *checkDefinition) kind() string {
	switch {
	case c.HTTP != "":
		return "http"
	case c.TCP != "":
		return "tcp"
	case c.GRPC != "":
		return "grpc"
	case c.TTL != 0:
		return "ttl"
	}
	return ""
}

func (c *checkDefinition) unsupported() string {
	switch {
	case c.Script != "" || len(c.Args) > 0 || len(c.ScriptArgs) > 0 || c.DockerContainerID != "":
		return "Scripts are disabled on this agent; Rollcall runs no commands"
	case c.H2PING != "" || c.UDP != "" || c.OSService != "":
		return "H2PING, UDP and OSService checks are not supported"
	case c.AliasService != "" || c.AliasNode != "":
		return "Alias checks are not supported"
	}
	return ""
}

const (
	minInterval        = time.Second
	minDeregisterAfter = time.Minute
	defaultTimeout     = 10 * time.Second
)

func (c *checkDefinition) validate() error {
	if c.Status != "" && !isStatus(c.Status) {
		return badRequest("Status for checks must 'passing', 'warning', 'critical'")
	}
	if why := c.unsupported(); why != "" {
		return badRequest("Invalid check: %s", why)
	}
	kinds := 0
	for _, target := range []string{c.HTTP, c.TCP, c.GRPC} {
		if target != "" {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return badRequest("Invalid check: only one of HTTP, TCP and GRPC may be set")
	case kinds == 1 && c.TTL != 0, c.TTL != 0 && c.Interval != 0:
		return badRequest("Invalid check: TTL and Interval cannot both be specified")
	case kinds == 1 && c.Interval <= 0:
		return badRequest("Invalid check: Interval must be > 0 for HTTP, TCP and GRPC checks")
	case kinds == 0 && c.TTL <= 0:
		return badRequest("Invalid check: TTL must be > 0 for TTL checks")
	case c.Timeout < 0:
		return badRequest("Invalid check: Timeout must be > 0")
	}
	if err := c.validateTarget(); err != nil {
		return badRequest("Invalid check: %v", err)
	}
	if kinds == 1 {
		c.Interval = max(c.Interval, duration(minInterval))
		if c.Timeout == 0 {
			c.Timeout = duration(defaultTimeout)
		}
	}
	if c.DeregisterCriticalServiceAfter != 0 {
		c.DeregisterCriticalServiceAfter = max(c.DeregisterCriticalServiceAfter, duration(minDeregisterAfter))
	}
	return nil
}

func (c *checkDefinition) validateTarget() error {
	switch {
	case c.HTTP != "":
		u, err := url.Parse(c.HTTP)
		if err != nil {
			return errors.New("HTTP is no URL") // not its text: it may hold a password
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("HTTP must be a URL that begins with http:// or https://")
		}
	case c.TCP != "":
		if _, _, err := net.SplitHostPort(c.TCP); err != nil {
			return errors.New("TCP must be host:port")
		}
	case c.GRPC != "":
		address, _, _ := strings.Cut(c.GRPC, "/")
		if _, _, err := net.SplitHostPort(address); err != nil {
			return errors.New("GRPC must be host:port or host:port/service")
		}
	}
	return nil
}

// record is the part of a definition that stands in the backend.
func (c *checkDefinition) record() checkRecord {
	return checkRecord{
		ID: c.CheckID, Name: c.Name, Type: c.kind(), Notes: c.Notes,
		Definition: checkDefinitionJSON{
			Interval: c.Interval.String(), Timeout: c.Timeout.String(), TTL: c.TTL.String(),
			DeregisterCriticalServiceAfter: c.DeregisterCriticalServiceAfter.String(),
			HTTP:                           c.HTTP, Method: c.Method, Header: c.Header, Body: c.Body,
			TCP: c.TCP, GRPC: c.GRPC, GRPCUseTLS: c.GRPCUseTLS, TLSSkipVerify: c.TLSSkipVerify, TLSServerName: c.TLSServerName,
		},
	}
}
