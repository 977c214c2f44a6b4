package consulapi

import (
	"net/http"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// eventJSON is one change of a service, as "rollcall why --json" prints it.
type eventJSON struct {
	Time    time.Time          `json:"time"`
	Service string             `json:"service"`
	ID      string             `json:"id"`
	Kind    registry.EventKind `json:"kind"`
	By      string             `json:"by"`
	Note    string             `json:"note"`
}

// events answers with what the backend remembers of a service, oldest first. It is
// not Consul's.
func (a *API) events(_ http.ResponseWriter, r *http.Request, name string) (any, error) {
	if name == "" {
		return nil, badRequest("Missing service name")
	}
	list, err := a.config.Backend.Events(r.Context(), name)
	if err != nil {
		return nil, err
	}
	out := make([]eventJSON, 0, len(list))
	for _, e := range list {
		out = append(out, eventJSON{e.Time, name, e.ID, e.Kind, e.By, e.Note})
	}
	return out, nil
}
