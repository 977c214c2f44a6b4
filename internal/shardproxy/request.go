package shardproxy

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readRequest reads one request: an array of bulk strings.
func readRequest(in *bufio.Reader) ([]string, error) {
	count, err := readLength(in, '*')
	if err != nil {
		return nil, err
	}
	request := make([]string, count)
	for i := range request {
		size, err := readLength(in, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		request[i] = string(b[:size])
	}
	return request, nil
}

func readLength(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(line[1:], "\r\n"))
	if err != nil || line[0] != kind || n < 0 {
		return 0, fmt.Errorf("request has %q instead of %c and a length", line, kind)
	}
	return n, nil
}

// writeRequest writes one request. The writer keeps its first error.
func writeRequest(out *bufio.Writer, request []string) error {
	fmt.Fprintf(out, "*%d\r\n", len(request))
	for _, word := range request {
		fmt.Fprintf(out, "$%d\r\n", len(word))
		_, _ = out.WriteString(word)
		_, _ = out.WriteString("\r\n")
	}
	_, err := out.Write(nil)
	return err
}
