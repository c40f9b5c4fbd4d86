package configs

import "strings"

// tooManySlips is how many make it another word.
const tooManySlips = 3

// DidYouMean asks for the name that is nearest to a mistyped one: " (did you mean --workers?)" with the prefix "--". It
// returns nothing if none is near.
func DidYouMean(given, prefix string, names []string) string {
	best, distance := "", tooManySlips
	for _, name := range names {
		if len(name) < 2 {
			continue
		}
		d := slips(given, name)
		if len(given) >= 3 && strings.HasPrefix(name, given) {
			d = 1
		}
		if d < distance && d < len(given) {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + prefix + best + "?)"
}

// slips is how many letters were left out, put in, mistaken or swapped with the next (the optimal string alignment
// distance). Words of very different lengths are not compared: one of them may be a whole file.
func slips(a, b string) int {
	if d := len(a) - len(b); d >= tooManySlips || -d >= tooManySlips {
		return tooManySlips
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
