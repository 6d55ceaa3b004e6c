package bench

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// SVG writes the histograms as one picture, each as bars over the same logarithmic time scale as the
// text; it has a light and a dark palette.
func (r *Report) SVG(w io.Writer) error {
	const (
		width, left, right = 720, 20, 20
		chart, gap, label  = 110, 34, 22
	)
	var b strings.Builder
	height := 24 + len(r.Histograms)*(chart+gap+label)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Times of calls">
<style>text{font:12px system-ui,sans-serif;fill:#222}.axis{fill:#666;font-size:10px}.bar{fill:#d9622b}rect.bg{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#eee}.axis{fill:#aaa}rect.bg{fill:#16181d}}</style>
<rect class="bg" width="%[1]d" height="%[2]d"/>
`, width, height)
	y := 24
	for _, h := range r.Histograms {
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s: p50 %.2f ms, p99 %.2f ms</text>`+"\n", left, y, html.EscapeString(h.Name), h.P50, h.P99)
		base := y + label + chart
		each := float64(width-left-right) / float64(max(len(h.Bars), 1))
		for i, bar := range h.Bars {
			tall := float64(bar.Count) / float64(h.most()) * chart
			x := left + float64(i)*each
			fmt.Fprintf(&b, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>up to %.3f ms: %d</title></rect>`+"\n",
				x, float64(base)-tall, max(each-1, 0.5), tall, bar.UpTo, bar.Count)
			if i == 0 || i == len(h.Bars)-1 || (i%max(len(h.Bars)/8, 1) == 0 && i < len(h.Bars)-2) {
				fmt.Fprintf(&b, `<text class="axis" x="%.1f" y="%d">%.3g ms</text>`+"\n", x, base+12, bar.UpTo)
			}
		}
		y = base + gap
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
