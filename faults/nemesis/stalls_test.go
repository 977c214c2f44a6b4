package nemesis

import "testing"

func TestStallsExtendDeadlinesOnce(t *testing.T) {
	s := newStalls([]MeasuredStall{{ms(100), ms(200), ms(50)}, {ms(400), ms(420), ms(20)}, {ms(470), ms(480), ms(10)}})
	for _, test := range []struct{ from, takes, by int }{
		{0, 50, 50},     // ends before the first
		{0, 150, 200},   // the first counts as a whole
		{0, 340, 390},   // ends before the second
		{0, 360, 430},   // which counts only because of the first
		{150, 240, 460}, // a part counts as the whole
		{150, 255, 485}, // the second extends it into the third
		{480, 100, 580}, // none is left
	} {
		if got := s.by(ms(test.from), ms(test.takes)); got != ms(test.by) {
			t.Errorf("what begins at %d and takes %d ms must have ended by %v, want %d ms", test.from, test.takes, got, test.by)
		}
	}
	if got := s.before(ms(490), ms(100)); got != ms(360) {
		t.Errorf("what took 100 ms at 490 began at %v, want 360 ms", got)
	}
	if got := s.before(ms(90), ms(50)); got != ms(40) {
		t.Errorf("what took 50 ms at 90 began at %v, want 40 ms", got)
	}
}
