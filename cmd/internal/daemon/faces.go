package daemon

import (
	"net/http"
	"strings"

	"github.com/rollcall-sd/rollcall/cmd/internal/consulapi"
	"github.com/rollcall-sd/rollcall/cmd/internal/prometheus"
)

// face is a part of the daemon beside Consul's API. A face reads the states of services
// from the API.
type face struct {
	paths   []string     // of handler; one that ends in a slash stands for all below it
	handler http.Handler // nil for a face that has no HTTP
	// close ends the face and waits for it. nil means that there is nothing to end. It is
	// called when no request is under way, before the API closes.
	close func()
}

// newFaces returns the faces that the configuration asks for.
func (d *daemon) newFaces(api *consulapi.API) ([]face, error) {
	return []face{
		{paths: []string{prometheus.TargetsPath}, handler: prometheus.NewTargets(api, 0)},
	}, nil
}

// serving is what answers once the backend was reached.
type serving struct {
	api   *consulapi.API
	faces []face
}

// handler returns what answers a path.
func (s *serving) handler(path string) http.Handler {
	for _, f := range s.faces {
		for _, p := range f.paths {
			if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
				return f.handler
			}
		}
	}
	return s.api
}

// close ends the faces, the last first.
func (s *serving) close() {
	for n := len(s.faces) - 1; n >= 0; n-- {
		if end := s.faces[n].close; end != nil {
			end()
		}
	}
}
