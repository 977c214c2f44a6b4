package health

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rollcall-sd/rollcall/registry"
)

// Probe asks one instance once whether it works. It must return soon after ctx
// ends, and be safe for concurrent use.
type Probe func(ctx context.Context, target Target) Result

// Target is what a probe asks.
type Target struct {
	Instance registry.ServiceInfo // as registered, with its ID; shared: read only
	Endpoint string               // what follows "scheme:" in HealthEndpoint; the URL for http and https

	host string // for the Host header and the TLS server name of HTTP probes; "" for the one in Endpoint
}

// Result is a probe's answer.
type Result struct {
	Status registry.Status // StatusPassing, StatusWarning or StatusCritical; anything else counts as critical
	Note   string          // why, in a line; shortened and cleaned where it is no valid note
}

// Passing is the result of a probe that found nothing amiss.
func Passing(note string) Result { return Result{registry.StatusPassing, note} }

// Warning is the result for an instance that is still to be called.
func Warning(note string) Result { return Result{registry.StatusWarning, note} }

// Critical is the result for an instance that is not to be called.
func Critical(note string) Result { return Result{registry.StatusCritical, note} }

// maxNote bounds a note, in bytes: a line for a table, not a page.
const maxNote = 256

// normal makes a result one that can be written.
func (r Result) normal() Result {
	switch r.Status {
	case registry.StatusPassing, registry.StatusWarning, registry.StatusCritical:
	default:
		r = Critical(fmt.Sprintf("the probe answered with status %q", r.Status))
	}
	r.Note = line(r.Note)
	return r
}

// line makes a text one line of at most maxNote bytes, without control characters.
func line(text string) string {
	if len(text) > 4*maxNote {
		text = text[:4*maxNote]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxNote {
		return text
	}
	end := maxNote - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
