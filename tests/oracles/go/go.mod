module tongban.example/go_checker

go 1.18

require golang.org/x/mod v0.0.0
