-- Puts the tools of the compatibility layer first in PATH, for somebody who
-- uses its module command from a shell outside the layer. Inside the layer it
-- changes nothing that is not so already.

local prefix = "@EPREFIX@"

whatis("Name: layer")
whatis("Description: the tools of the compatibility layer, first in PATH")
whatis("Prefix: " .. prefix)

help([[
Puts the programs of the compatibility layer below
  ]] .. prefix .. [[

first in PATH and sets COMPATLAYER_PREFIX to that directory. Libraries need no
variable: the layer's programs know where theirs are.
]])

setenv("COMPATLAYER_PREFIX", prefix)
prepend_path("PATH", pathJoin(prefix, "usr/sbin"))
prepend_path("PATH", pathJoin(prefix, "usr/bin"))
