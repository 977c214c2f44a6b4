package consulapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rollcall-sd/rollcall/registry"
)

// extension is the key of a record in an instance's Extensions.
const extension = "consul"

// nodeService is the service of which each daemon is an instance, as each server of
// Consul is one of "consul".
const nodeService = "consul"

// record is what Consul carries of an instance and ServiceInfo does not. It stands in
// Extensions as JSON.
type record struct {
	Node              nodeIdentity             `json:"node"`
	ID                string                   `json:"id"`
	Address           string                   `json:"address,omitempty"` // as registered: it may be empty
	Port              int                      `json:"port,omitempty"`    // as registered: it may be 0
	TaggedAddresses   map[string]taggedAddress `json:"tagged,omitempty"`
	Weights           weightsJSON              `json:"weights"`
	EnableTagOverride bool                     `json:"override,omitempty"`
	Locality          *locality                `json:"locality,omitempty"`
	Kind              string                   `json:"kind,omitempty"`
	Proxy             json.RawMessage          `json:"proxy,omitempty"`
	Checks            []checkRecord            `json:"checks,omitempty"`
	// FromCatalog marks what catalog/register wrote: no daemon runs its checks.
	FromCatalog bool `json:"catalog,omitempty"`
}

type nodeIdentity struct {
	Name    string            `json:"name"`
	ID      string            `json:"id,omitempty"`
	Address string            `json:"address"`
	Meta    map[string]string `json:"meta,omitempty"`
}

// checkRecord is the definition of a check.
type checkRecord struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Type       string              `json:"type,omitempty"`
	Notes      string              `json:"notes,omitempty"`
	Definition checkDefinitionJSON `json:"definition"`
}

// noPort stands for port 0, which the registry does not have.
const noPort = 1

func (r record) encode() (string, error) {
	text, err := json.Marshal(r)
	return string(text), err
}

// recordOf returns the record of an instance. ok is false for one that was registered
// without a daemon.
func recordOf(s registry.ServiceInfo) (r record, ok bool) {
	text, ok := s.Extensions[extension]
	if !ok || json.Unmarshal([]byte(text), &r) != nil || r.Node.Name == "" || r.ID == "" {
		return record{}, false
	}
	return r, true
}

// checkState is the status of a check and why.
type checkState struct {
	Status, Output string
}

const (
	separator = " | "
	// maintenancePrefix begins the ID of the check that maintenance adds.
	maintenancePrefix = "_service_maintenance:"
	nodeMaintenance   = "_node_maintenance"
)

func isMaintenance(checkID string) bool {
	return checkID == nodeMaintenance || strings.HasPrefix(checkID, maintenancePrefix)
}

// maintenanceCheck is the check that maintenance adds to a service.
func maintenanceCheck(serviceID, reason string) checkRecord {
	if serviceID == nodeService {
		return checkRecord{ID: nodeMaintenance, Name: "Node Maintenance Mode", Type: "maintenance", Notes: reason}
	}
	return checkRecord{ID: maintenancePrefix + serviceID, Name: "Service Maintenance Mode", Type: "maintenance", Notes: reason}
}

// noteID writes the ID of a check in a note, where ": " and " | " divide.
var (
	noteID     = strings.NewReplacer("%", "%25", ": ", ":%20", "| ", "|%20", "\n", "%0A", "\r", "%0D", "\t", "%09")
	fromNoteID = strings.NewReplacer("%25", "%", "%20", " ", "%0A", "\n", "%0D", "\r", "%09", "\t")
)

// encodeNote makes the states of an instance's checks a note, in the order given:
//
//	service:web critical: HTTP 503 Service Unavailable | service:web:2 passing
//
// Long outputs are cut, so that all checks fit.
func encodeNote(ids []string, states map[string]checkState) string {
	room := registry.MaxNoteBytes
	for _, id := range ids {
		room -= len(noteID.Replace(id)) + len(" critical: ") + len(separator)
	}
	parts := make([]string, 0, len(ids))
	for i, id := range ids {
		s := states[id]
		output := cut(withoutSeparator(oneLine(s.Output)), room/(len(ids)-i))
		room -= len(output)
		part := noteID.Replace(id) + " " + s.Status
		if output != "" {
			part += ": " + output
		}
		parts = append(parts, part)
	}
	return cut(strings.Join(parts, separator), registry.MaxNoteBytes)
}

// withoutSeparator makes an output one that no reader of a note takes for more checks.
func withoutSeparator(output string) string {
	words := strings.Split(output, " ")
	for i, w := range words {
		if w == strings.TrimSpace(separator) {
			words[i] = "/"
		}
	}
	return strings.Join(words, " ")
}

// decodeNote returns the states in a note that are of these checks.
func decodeNote(note string, known func(id string) bool) map[string]checkState {
	states := make(map[string]checkState)
	for part := range strings.SplitSeq(note, separator) {
		head, output, _ := strings.Cut(part, ": ")
		at := strings.LastIndexByte(head, ' ')
		if at < 0 {
			continue
		}
		id, status := fromNoteID.Replace(head[:at]), head[at+1:]
		if isStatus(status) && (known(id) || isMaintenance(id)) {
			states[id] = checkState{status, output}
		}
	}
	return states
}

func isStatus(s string) bool { return s == "passing" || s == "warning" || s == "critical" }

// oneLine makes a text one that a note may have.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(r rune) bool {
		return r <= ' ' || r == 0x7f || 0x80 <= r && r < 0xa0
	}), " ")
}

// cut shortens a text to so many bytes, between two characters.
func cut(text string, most int) string {
	if most < 0 {
		most = 0
	}
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xc0 == 0x80 {
		most--
	}
	return text[:most]
}

// worst returns the status of an instance with these checks.
func worst(states map[string]checkState) registry.Status {
	status := registry.StatusPassing
	for _, s := range states {
		switch {
		case s.Status == "critical":
			return registry.StatusCritical
		case s.Status == "warning":
			status = registry.StatusWarning
		}
	}
	return status
}

func serviceCheckName(service string) string { return fmt.Sprintf("Service '%s' check", service) }
