"""What ``integrity`` compares each path with: its record in CONTENTS (``visitor``), a tree's manifest; and what it then says
(``findings``).
"""
