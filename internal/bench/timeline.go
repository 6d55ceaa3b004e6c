package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"

	"hearth/client"
)

// The parts of a cold call, in the order in which they come.
var phaseNames = []string{"queue", "fetch", "link", "assign", "load", "run", "rest"}

const phaseLoad = 4

// phases are the parts of calls of one kind, in ms, as the node recorded them.
type phases struct{ of [7][]float64 }

func (p *phases) add(c client.Call) {
	rest := c.TotalMS
	for i, v := range []float64{c.QueueMS, c.FetchMS, c.LinkMS, c.AssignMS, c.LoadMS, c.RunMS} {
		p.of[i] = append(p.of[i], v)
		rest -= v
	}
	p.of[6] = append(p.of[6], max(rest, 0))
}

func (p *phases) median(phase int) float64 {
	if p == nil {
		return 0
	}
	return median(p.of[phase])
}

// quicker counts the calls that loaded in less than so many ms.
func (p *phases) quicker(than float64) int {
	n := 0
	if p != nil {
		for _, v := range p.of[phaseLoad] {
			if v < than {
				n++
			}
		}
	}
	return n
}

// Phase is one part of a call.
type Phase struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

// Timeline is where the time of a kind of cold call goes: medians of its parts.
type Timeline struct {
	Name   string  `json:"name"`
	Phases []Phase `json:"phases"`
}

// Total is the sum of all parts.
func (t Timeline) Total() float64 {
	sum := 0.0
	for _, p := range t.Phases {
		sum += p.MS
	}
	return sum
}

// Point is one figure of the plot.
type Point struct {
	Packages int     `json:"packages"`
	MS       float64 `json:"ms"`
}

// Series is one line of the plot.
type Series struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// plots makes timelines and series of what was measured.
func (b *packs) plots() {
	for _, one := range []struct{ kind, name string }{{"remote", "cold-remote"}, {"on disk", "cold-local"}, {"preloaded", "cold-local, preloaded"}} {
		p := b.phases[one.kind+" 60"]
		if p == nil || len(p.of[0]) == 0 {
			continue
		}
		t := Timeline{Name: fmt.Sprintf("%s, %d packages", one.name, b.apps["60"].count)}
		for i, name := range phaseNames {
			t.Phases = append(t.Phases, Phase{name, p.median(i)})
		}
		b.report.Timelines = append(b.report.Timelines, t)
	}
	for size, v := range b.ciCached {
		b.point("npm ci, full cache, then bare Node.js", size, v+b.points["fresh bare Node.js"][size])
		b.point("npm ci, nothing cached, then bare Node.js", size, b.ciBare[size]+b.points["fresh bare Node.js"][size])
	}
	for _, name := range []string{"cold call, preloaded", "cold call, packages on disk", "fresh bare Node.js", "npm ci, full cache, then bare Node.js", "npm ci, nothing cached, then bare Node.js"} {
		s := Series{Name: name}
		for _, size := range sizes {
			if v := b.points[name][size]; v > 0 {
				s.Points = append(s.Points, Point{b.apps[size].count, v})
			}
		}
		if len(s.Points) > 0 {
			b.report.Series = append(b.report.Series, s)
		}
	}
}

const (
	plotStyle = `<style>text{font:12px system-ui,sans-serif;fill:#222}.axis{fill:#666;font-size:10px}.grid{stroke:#ddd}rect.bg{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#eee}.axis{fill:#aaa}.grid{stroke:#333}rect.bg{fill:#16181d}}</style>
`
)

// colors tell lines and parts apart, in both palettes and for most who see colors otherwise.
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"}

// PlotSVG draws the first call against the number of packages, with a logarithmic scale of time.
func (r *Report) PlotSVG(w io.Writer) error {
	const (
		width, left, right, top, chart = 720, 60, 20, 20, 300
	)
	var counts []int // of all series, in order
	least, most := math.Inf(1), 0.0
	for _, s := range r.Series {
		for _, p := range s.Points {
			least, most = min(least, p.MS), max(most, p.MS)
			at := 0
			for at < len(counts) && counts[at] < p.Packages {
				at++
			}
			if at == len(counts) || counts[at] != p.Packages {
				counts = append(counts[:at], append([]int{p.Packages}, counts[at:]...)...)
			}
		}
	}
	if len(counts) == 0 {
		return nil
	}
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most)+0.001)
	y := func(ms float64) float64 { return top + chart*(high-math.Log10(ms))/(high-low) }
	x := func(packages int) float64 {
		for i, c := range counts {
			if c == packages {
				return left + float64(width-left-right)*(float64(i)+0.5)/float64(len(counts))
			}
		}
		return left
	}
	height := top + chart + 34 + 18*len(r.Series)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="First call by number of packages">
%s<rect class="bg" width="%[1]d" height="%[2]d"/>
`, width, height, plotStyle)
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1[3]f"/><text class="axis" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left, width-right, y(v), left-6, y(v)+3, duration(v))
	}
	for _, c := range counts {
		fmt.Fprintf(&b, `<text class="axis" x="%.1f" y="%d" text-anchor="middle">%d packages</text>`+"\n", x(c), top+chart+14, c)
	}
	for i, s := range r.Series {
		var line strings.Builder
		color := colors[i%len(colors)]
		for _, p := range s.Points {
			fmt.Fprintf(&line, "%.1f,%.1f ", x(p.Packages), y(p.MS))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"><title>%s, %d packages: %s</title></circle>`+"\n", x(p.Packages), y(p.MS), color, html.EscapeString(s.Name), p.Packages, duration(p.MS))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", color, strings.TrimSpace(line.String()))
		at := top + chart + 34 + 18*i
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", left, at-10, color, left+18, at, html.EscapeString(s.Name))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func duration(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.3g s", ms/1000)
	}
	return fmt.Sprintf("%.3g ms", ms)
}

// TimelineSVG draws where the time of each kind of cold call goes, each to a scale of its own: they differ too
// much for one.
func (r *Report) TimelineSVG(w io.Writer) error {
	const (
		width, left, right, bar, each = 720, 20, 20, 26, 92
	)
	height := 10 + each*len(r.Timelines) + 14
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Where the time of a cold call goes">
%s<rect class="bg" width="%[1]d" height="%[2]d"/>
`, width, height, plotStyle)
	for i, t := range r.Timelines {
		top, total := 10+each*i, t.Total()
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s: %s</text>`+"\n", left, top+16, html.EscapeString(t.Name), duration(total))
		x, label := float64(left), float64(left)
		for j, p := range t.Phases {
			wide := (width - left - right) * p.MS / max(total, 0.001)
			fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s: %s</title></rect>`+"\n", x, top+24, wide, bar, colors[j], p.Name, duration(p.MS))
			x += wide
			if p.MS < 0.005 {
				continue
			}
			text := p.Name + " " + duration(p.MS)
			fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="8" height="8" fill="%s"/><text class="axis" x="%.1f" y="%d">%s</text>`+"\n", label, top+56, colors[j], label+11, top+64, text)
			label += 18 + 6*float64(len(text))
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
