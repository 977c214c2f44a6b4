package main

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/rollcall-sd/rollcall/bench/measure"
)

// Mid tones on a transparent ground, so that a plot reads on white as on black.
var (
	ink   = color.RGBA{R: 0x80, G: 0x80, B: 0x80, A: 0xff}
	faint = color.NRGBA{R: 0x80, G: 0x80, B: 0x80, A: 0x50}
	lines = []color.RGBA{
		{R: 0xd9, G: 0x5f, B: 0x3b, A: 0xff}, {R: 0x2f, G: 0x8f, B: 0xd0, A: 0xff},
		{R: 0x2f, G: 0x9e, B: 0x62, A: 0xff}, {R: 0xa0, G: 0x78, B: 0xd0, A: 0xff},
	}
	glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}}
)

// plotTo plots a curve to an SVG file. Times, and what spans decades, are on a logarithmic scale.
func plotTo(c measure.Curve, name string) error {
	p := plot.New()
	p.BackgroundColor = nil // the page shows through
	p.Title.Text = c.Title
	p.Title.TextStyle.Color = ink
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text, p.Y.Label.Text = c.X, c.Y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Label.TextStyle.Color = ink, ink
		axis.Tick.Color, axis.Tick.Label.Color = ink, ink
	}
	p.Legend.TextStyle.Color = ink
	p.Legend.Top, p.Legend.Left = true, true
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	if decades(c) {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
	for i, s := range c.Series {
		points := series(s)
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		bars, err := plotter.NewYErrorBars(points)
		if err != nil {
			return err
		}
		shade := lines[i%len(lines)]
		line.Color, line.Width = shade, vg.Points(1.6)
		marks.Color, marks.Shape, marks.Radius = shade, glyphs[i%len(glyphs)], vg.Points(2.8)
		bars.Color = shade
		p.Add(line, marks, bars)
		p.Legend.Add(s.Name, line, marks)
	}
	// Room above the lines for the legend.
	p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, 0.35)
	return p.Save(18*vg.Centimeter, 10*vg.Centimeter, name)
}

// decades reports whether the x values span several decades.
func decades(c measure.Curve) bool {
	low, high := math.Inf(1), 0.0
	for _, s := range c.Series {
		for _, p := range s.Points {
			low, high = min(low, p.X), max(high, p.X)
		}
	}
	return low > 0 && high >= 100*low
}

type points struct {
	plotter.XYs
	plotter.YErrors
}

func series(s measure.Series) points {
	var out points
	for _, p := range s.Points {
		out.XYs = append(out.XYs, plotter.XY{X: p.X, Y: p.Y})
		out.YErrors = append(out.YErrors, struct{ Low, High float64 }{p.Y - p.Low, p.High - p.Y})
	}
	return out
}
