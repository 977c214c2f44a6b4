package measure

// Curve is one plot: how figures grow with something.
type Curve struct {
	Name   string // of the file
	Title  string
	X, Y   string // what the axes show, with units
	Series []Series
}

// Series is one line of a plot.
type Series struct {
	Name   string
	Points []Point
}

// Point is a median with its quarters.
type Point struct{ X, Y, Low, High float64 }

// Add appends a point to the series of that name.
func (c *Curve) Add(name string, x float64, s Sample) {
	low, high := s.Spread()
	p := Point{x, s.Median(), low, high}
	for i := range c.Series {
		if c.Series[i].Name == name {
			c.Series[i].Points = append(c.Series[i].Points, p)
			return
		}
	}
	c.Series = append(c.Series, Series{name, []Point{p}})
}

// Scaled returns the sample times a factor, as for another unit.
func (s Sample) Scaled(by float64) Sample {
	out := make(Sample, len(s))
	for i, v := range s {
		out[i] = v * by
	}
	return out
}
