// Package prometheus serves what Prometheus needs of a daemon.
//
//	targets.go    /v1/prometheus/sd: the instances as targets to scrape (http_sd)
//	labels.go     the labels of a target
package prometheus
