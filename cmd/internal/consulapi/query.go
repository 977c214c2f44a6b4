package consulapi

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-bexpr"
)

const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
)

// query is what the parameters of a read say.
type query struct {
	index      uint64 // 0: answer at once
	wait       time.Duration
	consistent bool
	pretty     bool
	filter     *bexpr.Evaluator // nil: none
	nodeMeta   map[string]string
	values     url.Values
}

// parseQuery reads the parameters that all reads have. An unknown one is ignored.
func (a *API) parseQuery(r *http.Request) (*query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("Invalid query: %v", err)
	}
	q := &query{values: values, consistent: values.Has("consistent"), pretty: values.Has("pretty")}
	if q.consistent && values.Has("stale") {
		return nil, badRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	if text := values.Get("index"); text != "" {
		if q.index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, badRequest("Invalid index")
		}
	}
	q.wait = defaultWait
	if text := values.Get("wait"); text != "" {
		if q.wait, err = time.ParseDuration(text); err != nil || q.wait < 0 {
			return nil, badRequest("Invalid wait time")
		}
		if q.wait == 0 {
			q.wait = defaultWait
		}
	}
	q.wait = min(q.wait, maxWait)
	q.wait += rand.N(q.wait/16 + 1)
	for _, pair := range values["node-meta"] {
		key, value, _ := strings.Cut(pair, ":")
		if q.nodeMeta == nil {
			q.nodeMeta = make(map[string]string)
		}
		q.nodeMeta[key] = value
	}
	if text := values.Get("filter"); text != "" {
		if q.filter, err = bexpr.CreateEvaluator(text, bexpr.WithMaxExpressions(maxFilterExpressions)); err != nil {
			return nil, badRequest("Failed to create boolean expression evaluator: %v", err)
		}
	}
	return q, nil
}

// maxFilterExpressions bounds the parts of a filter that the parser tries.
const maxFilterExpressions = 100_000

// isOn reads a parameter such as passing: bare, empty, 1 and true are on.
func (q *query) isOn(name string) (bool, error) {
	if !q.values.Has(name) {
		return false, nil
	}
	text := q.values.Get(name)
	if text == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, badRequest("Invalid value for ?%s", name)
	}
	return on, nil
}

// hasMeta reports whether a node has the metadata that was asked for.
func (q *query) hasMeta(meta map[string]string) bool {
	for key, value := range q.nodeMeta {
		if got, ok := meta[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// matches reports whether a value passes the filter.
func (q *query) matches(value any) (bool, error) {
	if q.filter == nil {
		return true, nil
	}
	ok, err := q.filter.Evaluate(value)
	if err != nil {
		return false, badRequest("Failed to filter results: %v", err)
	}
	return ok, nil
}

// filtered returns the values that pass the filter, never nil.
func filtered[T any](q *query, list []T) ([]T, error) {
	out := make([]T, 0, len(list))
	for _, v := range list {
		ok, err := q.matches(v)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, v)
		}
	}
	return out, nil
}

// httpError is an answer that is no success.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}
