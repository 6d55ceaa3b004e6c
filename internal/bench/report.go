package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Row is one line of the table: hearth's figure, the other side's from the same run, and the goal.
type Row struct {
	What      string  `json:"what"`
	Unit      string  `json:"unit,omitempty"`
	Hearth    float64 `json:"hearth"`
	Other     float64 `json:"other,omitempty"`
	Against   string  `json:"against,omitempty"` // what the other side is
	Ratio     float64 `json:"ratio,omitempty"`
	RatioUnit string  `json:"ratio_unit,omitempty"`
	Goal      string  `json:"goal,omitempty"` // "": told for comparison only
	Met       bool    `json:"met"`
	Starts    counts  `json:"starts,omitempty"`  // hearth-start of the calls that the figure is made of
	Missing   string  `json:"missing,omitempty"` // why there is no figure
}

// Bar is one bar of a histogram: how many calls took up to so many ms and more than the bar before.
type Bar struct {
	UpTo  float64 `json:"up_to_ms"`
	Count int64   `json:"count"`
}

// Histogram is the distribution of one measurement.
type Histogram struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
	Bars []Bar   `json:"bars"`
}

// Report is what bench found.
type Report struct {
	Node       string      `json:"node"`
	CPUs       int         `json:"cpus"`
	Kernel     string      `json:"kernel"`
	Rows       []Row       `json:"rows"`
	Histograms []Histogram `json:"histograms"`
	Series     []Series    `json:"series,omitempty"`    // of first calls with packages
	Timelines  []Timeline  `json:"timelines,omitempty"` // of cold calls with packages
}

func newReport() *Report { return &Report{} }

func (r *Report) add(row Row) {
	for _, f := range []*float64{&row.Hearth, &row.Other, &row.Ratio} {
		if math.IsNaN(*f) || math.IsInf(*f, 0) { // a side without a single call
			*f, row.Met = 0, false
		}
	}
	r.Rows = append(r.Rows, row)
}

// maxBars is how many bars a histogram has at most: what a person takes in at once.
const maxBars = 24

// histogram cuts a sample into bars from its quickest call to its slowest, each wider than the one
// before by the same ratio; a scale of equal steps would show one bar and a tail.
func (r *Report) histogram(name string, s *sample) {
	h := Histogram{Name: name, P50: s.quantile(50), P90: s.quantile(90), P99: s.quantile(99), Max: float64(s.times.Max()) / 1000}
	if s.times.TotalCount() == 0 {
		return
	}
	parts := 4.0 // of a doubling
	step := func(us int64) int { return int(math.Floor(parts * math.Log2(float64(max(us, 1))))) }
	for step(s.times.Max())-step(s.times.Min()) >= maxBars {
		parts /= 2
	}
	first := step(s.times.Min())
	h.Bars = make([]Bar, step(s.times.Max())-first+1)
	for i := range h.Bars {
		h.Bars[i].UpTo = math.Exp2(float64(first+i+1)/parts) / 1000
	}
	for _, bar := range s.times.Distribution() {
		if bar.Count > 0 {
			i := min(max(step(bar.From)-first, 0), len(h.Bars)-1)
			h.Bars[i].Count += bar.Count
		}
	}
	r.Histograms = append(r.Histograms, h)
}

// Write prints the table and the histograms.
func (r *Report) Write(w io.Writer) error {
	fmt.Fprintf(w, "Node.js %s, %d processors, Linux %s; both sides of a ratio in one run, medians of interleaved rounds\n\n", r.Node, r.CPUs, r.Kernel) //nolint:errcheck // Flush reports it
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WHAT\tHEARTH\tAGAINST\t\tRATIO\tGOAL\tMET\tSTARTS") //nolint:errcheck // Flush reports it
	for _, row := range r.Rows {
		fmt.Fprintln(tw, strings.Join(row.cells(), "\t")) //nolint:errcheck // Flush reports it
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, h := range r.Histograms {
		if _, err := io.WriteString(w, "\n"+h.text()); err != nil {
			return err
		}
	}
	for _, t := range r.Timelines {
		if _, err := io.WriteString(w, "\n"+t.text()); err != nil {
			return err
		}
	}
	return nil
}

func (t Timeline) text() string {
	var parts []string
	for _, p := range t.Phases {
		parts = append(parts, p.Name+" "+figure(p.MS, "ms"))
	}
	return fmt.Sprintf("%s: %s\n  %s\n", t.Name, figure(t.Total(), "ms"), strings.Join(parts, ", "))
}

func (r Row) cells() []string {
	goal := r.Goal
	if goal == "" {
		goal = "-"
	}
	if r.Missing != "" {
		return []string{r.What, figure(r.Hearth, r.Unit), "-", "", "-", goal, "?", "missing: " + r.Missing}
	}
	met := "-"
	if r.Goal != "" {
		met = map[bool]string{true: "yes", false: "no"}[r.Met]
	}
	other, ratio := "-", "-"
	if r.Against != "" {
		other, ratio = figure(r.Other, r.Unit), figure(r.Ratio, r.RatioUnit)
	}
	return []string{r.What, figure(r.Hearth, r.Unit), other, r.Against, ratio, goal, met, r.Starts.String()}
}

func figure(v float64, unit string) string {
	digits := 2
	switch a := math.Abs(v); {
	case v == 0:
		return "-"
	case a >= 1000:
		digits = 0
	case a >= 10:
		digits = 1
	case a < 0.1:
		digits = 3
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, v, unit))
}

func (h Histogram) text() string {
	const width = 50
	var b strings.Builder
	fmt.Fprintf(&b, "%s: p50 %s, p90 %s, p99 %s, most %s\n", h.Name, figure(h.P50, "ms"), figure(h.P90, "ms"), figure(h.P99, "ms"), figure(h.Max, "ms"))
	most := h.most()
	for _, bar := range h.Bars {
		n := int(math.Round(float64(bar.Count) / float64(most) * width))
		mark := strings.Repeat("█", n)
		if n == 0 && bar.Count > 0 {
			mark = "▏"
		}
		fmt.Fprintf(&b, "  ≤ %9s ms %s %d\n", fmt.Sprintf("%.3f", bar.UpTo), mark, bar.Count)
	}
	return b.String()
}

func (h Histogram) most() int64 {
	var most int64 = 1
	for _, bar := range h.Bars {
		most = max(most, bar.Count)
	}
	return most
}
