package admin

import "strings"

// A line of a diff is in both texts (" "), in the first only ("-"), or in the second ("+").
type diffLine struct{ Sign, Text string }

// mostCells bounds the work of a diff: the lines of one text times those of the other one,
// without the lines that are equal at the beginning and at the end.
const mostCells = 250_000

// diffLines returns the lines of two texts, those that both have once. Where that would be
// too much work, all that is between the equal beginning and end counts as different.
func diffLines(old, now string) (lines []diffLine) {
	a, b := splitLines(old), splitLines(now)
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	lines = appendLines(lines, " ", a[:start])
	lines = diffMiddle(lines, a[start:len(a)-end], b[start:len(b)-end])
	return appendLines(lines, " ", a[len(a)-end:])
}

// diffMiddle appends the lines of two texts by their longest common subsequence.
func diffMiddle(lines []diffLine, a, b []string) []diffLine {
	if len(a)*len(b) > mostCells {
		return appendLines(appendLines(lines, "-", a), "+", b)
	}
	common := make([][]int32, len(a)+1) // lines that a[i:] and b[j:] have in common
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			lines = append(lines, diffLine{" ", a[i]})
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			lines = append(lines, diffLine{"-", a[i]})
			i++
		default:
			lines = append(lines, diffLine{"+", b[j]})
			j++
		}
	}
	return appendLines(appendLines(lines, "-", a[i:]), "+", b[j:])
}

func appendLines(lines []diffLine, sign string, texts []string) []diffLine {
	for _, t := range texts {
		lines = append(lines, diffLine{sign, t})
	}
	return lines
}

// splitLines returns the lines of a text. An empty text has none.
func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// onlyDifferent leaves out the lines that both texts have.
func onlyDifferent(lines []diffLine) (list []diffLine) {
	for _, l := range lines {
		if l.Sign != " " {
			list = append(list, l)
		}
	}
	return list
}
