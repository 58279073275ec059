"""A made-up company whose thirty days fill an empty database, so that the panel can be seen alive.

``world`` and ``devices`` say where people are and what they use, ``people`` and ``attacks`` what they do, ``story``
what the gate would have made of it (with its own signals and limits), ``desk_work`` what its admins did about it;
``app.demo`` writes that into the stores. All chance comes from one seed. Nothing of it is a real person's: names and
e-mails are made up, addresses are out of blocks without users on the internet, networks have private numbers
(RFC 6996).
"""
