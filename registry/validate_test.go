package registry

import (
	"errors"
	"strings"
	"testing"
)

func validService() ServiceInfo {
	return ServiceInfo{Name: "api", Address: "10.0.0.1", Port: 8080}
}

func TestValidateServiceAccepts(t *testing.T) {
	for name, change := range map[string]func(*ServiceInfo){
		"the least":               func(*ServiceInfo) {},
		"colon in name":           func(s *ServiceInfo) { s.Name = "a:b" },
		"braces in name":          func(s *ServiceInfo) { s.Name = "{a}" },
		"star in name":            func(s *ServiceInfo) { s.Name = "a*" },
		"space in name":           func(s *ServiceInfo) { s.Name = "a b" },
		"name beyond ASCII":       func(s *ServiceInfo) { s.Name = "名前" },
		"longest name":            func(s *ServiceInfo) { s.Name = strings.Repeat("n", MaxNameBytes) },
		"odd ID":                  func(s *ServiceInfo) { s.ID = `{a}:b*"\ 名` },
		"lowest port":             func(s *ServiceInfo) { s.Port = 1 },
		"highest port":            func(s *ServiceInfo) { s.Port = 65535 },
		"empty metadata key":      func(s *ServiceInfo) { s.Metadata = map[string]string{"": ""} },
		"longest metadata":        func(s *ServiceInfo) { s.Metadata = map[string]string{"k": strings.Repeat("v", MaxMetadataBytes-1)} },
		"highest weight":          func(s *ServiceInfo) { s.Weight = MaxWeight },
		"status":                  func(s *ServiceInfo) { s.Status = StatusDraining },
		"a tag twice":             func(s *ServiceInfo) { s.Tags = []string{"a", "a"} },
		"IPv6":                    func(s *ServiceInfo) { s.Address = "2001:db8::1" },
		"replacement character":   func(s *ServiceInfo) { s.Version = "\uFFFD" },
		"line separator U+2028":   func(s *ServiceInfo) { s.Version = "a\u2028b" },
		"non-breaking space 0xA0": func(s *ServiceInfo) { s.Version = "a\u00a0b" },
	} {
		t.Run(name, func(t *testing.T) {
			s := validService()
			change(&s)
			if err := validateService(s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateServiceNamesTheField(t *testing.T) {
	pairs := make(map[string]string)
	for i := range MaxMetadataPairs + 1 {
		pairs[strings.Repeat("k", i+1)] = ""
	}
	for _, c := range []struct {
		field  string
		change func(*ServiceInfo)
	}{
		{"Name: is empty", func(s *ServiceInfo) { s.Name = "" }},
		{"Name: has 257 bytes", func(s *ServiceInfo) { s.Name = strings.Repeat("n", MaxNameBytes+1) }},
		{"Name: has 258 bytes", func(s *ServiceInfo) { s.Name = strings.Repeat("名", 86) }},
		{"Name: has a control character (U+000A) at byte 1", func(s *ServiceInfo) { s.Name = "a\nb" }},
		{"Name: has a control character (U+0000)", func(s *ServiceInfo) { s.Name = "\x00" }},
		{"Name: has a control character (U+007F)", func(s *ServiceInfo) { s.Name = "\x7f" }},
		{"Name: has a control character (U+0085) at byte 2", func(s *ServiceInfo) { s.Name = "é\u0085" }},
		{"Name: is not valid UTF-8", func(s *ServiceInfo) { s.Name = "a\xff" }},
		{"ID: has 257 bytes", func(s *ServiceInfo) { s.ID = strings.Repeat("i", MaxIDBytes+1) }},
		{"ID: has a control", func(s *ServiceInfo) { s.ID = "a\r" }},
		{"Version: has 257", func(s *ServiceInfo) { s.Version = strings.Repeat("v", MaxVersionBytes+1) }},
		{"Version: is not", func(s *ServiceInfo) { s.Version = "\xc3" }},
		{"Address: is empty", func(s *ServiceInfo) { s.Address = "" }},
		{"Address: has 257", func(s *ServiceInfo) { s.Address = strings.Repeat("a", MaxAddressBytes+1) }},
		{"Address: has a control", func(s *ServiceInfo) { s.Address = "a\t" }},
		{"Port: 0 is outside 1-65535", func(s *ServiceInfo) { s.Port = 0 }},
		{"Port: -1 is outside", func(s *ServiceInfo) { s.Port = -1 }},
		{"Port: 70000 is outside", func(s *ServiceInfo) { s.Port = 70000 }},
		{"HealthEndpoint: has 2049", func(s *ServiceInfo) { s.HealthEndpoint = strings.Repeat("h", MaxHealthEndpointBytes+1) }},
		{"HealthEndpoint: has a control", func(s *ServiceInfo) { s.HealthEndpoint = "/\x1b" }},
		{"Metadata: 257 pairs", func(s *ServiceInfo) { s.Metadata = pairs }},
		{"Metadata: 65537 bytes", func(s *ServiceInfo) { s.Metadata = map[string]string{"k": strings.Repeat("v", MaxMetadataBytes)} }},
		{"Metadata: a key has a control", func(s *ServiceInfo) { s.Metadata = map[string]string{"\n": ""} }},
		{`Metadata: the value of "k" is not valid UTF-8`, func(s *ServiceInfo) { s.Metadata = map[string]string{"k": "\xff"} }},
		{"Tags: 129 tags", func(s *ServiceInfo) { s.Tags = make([]string, MaxTags+1) }},
		{"Tags: tag 1 is empty", func(s *ServiceInfo) { s.Tags = []string{"a", ""} }},
		{"Tags: tag 0 has 257", func(s *ServiceInfo) { s.Tags = []string{strings.Repeat("t", MaxTagBytes+1)} }},
		{"Tags: tag 0 has a control", func(s *ServiceInfo) { s.Tags = []string{"\x00"} }},
		{"Weight: -1 is outside", func(s *ServiceInfo) { s.Weight = -1 }},
		{"Weight: 1000001 is outside", func(s *ServiceInfo) { s.Weight = MaxWeight + 1 }},
		{`Status: "dead" is not one of`, func(s *ServiceInfo) { s.Status = "dead" }},
		{"Extensions: 257 pairs", func(s *ServiceInfo) { s.Extensions = pairs }},
		{"Extensions: a key is not", func(s *ServiceInfo) { s.Extensions = map[string]string{"\xff": ""} }},
	} {
		t.Run(c.field, func(t *testing.T) {
			s := validService()
			c.change(&s)
			err := validateService(s)
			if !errors.Is(err, ErrInvalidService) {
				t.Fatalf("got %v, want an error that matches ErrInvalidService", err)
			}
			if want := "invalid service: " + c.field; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %q, want it to begin with %q", err, want)
			}
		})
	}
}

func TestValidateID(t *testing.T) {
	for id, ok := range map[string]bool{"": false, "a": true, "a b:{c}*": true, "\x00": false, strings.Repeat("i", 257): false} {
		if err := validateID(id); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalidService) {
			t.Errorf("validateID(%q) = %v", id, err)
		}
	}
}
