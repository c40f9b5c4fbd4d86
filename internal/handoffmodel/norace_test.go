//go:build !race

package handoffmodel

const raced = false
