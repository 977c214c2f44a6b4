package nemesis

// span is the time from one moment to another.
type span struct{ from, to Moment }

func (s span) empty() bool { return s.to <= s.from }

func (s span) covers(from, to Moment) bool { return s.from <= from && to <= s.to }

func (s span) touches(from, to Moment) bool { return s.from <= to && from <= s.to }

// without returns the parts of spans outside gap.
func without(spans []span, gap span) []span {
	if gap.empty() {
		return spans
	}
	var out []span
	for _, s := range spans {
		if before := (span{s.from, min(s.to, gap.from)}); !before.empty() {
			out = append(out, before)
		}
		if behind := (span{max(s.from, gap.to), s.to}); !behind.empty() {
			out = append(out, behind)
		}
	}
	return out
}

func covered(spans []span, from, to Moment) bool {
	for _, s := range spans {
		if s.covers(from, to) {
			return true
		}
	}
	return false
}

func touched(spans []span, from, to Moment) bool {
	for _, s := range spans {
		if s.touches(from, to) {
			return true
		}
	}
	return false
}
