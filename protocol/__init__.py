"""The Tongban protocol: what members say to each other, pure and without a clock, a file or a socket.

Read in this order:

1. `errors`                every named "no"
2. `identifiers`           persons, organisations, members, case numbers
3. `suites`                signatures and the strict form of a statement
4. `certificate_profile`, `revocation`, `certificates`   who may speak for a member, for what, and when
5. `manifest`              the list of members, its votes and its versions
6. `claims`, `envelope`    what a statement says; sealing and unsealing it
7. `messages`, `policy`    the bodies, and who may see which fields
8. `procedures`           tables of cases; amounts of the law: `rules`, `transfer`, `sheet`, `benefit_place`
9. `log`, `growth`, `notes`, `checkpoints`   what happened, proven to third persons
"""
