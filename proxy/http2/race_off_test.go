//go:build !race

package http2

const race = false
