"""PortOne V2: its REST client, its webhook reader, its payment window, and the fake that stands in for it."""
