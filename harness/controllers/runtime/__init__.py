"""What a controller is made of: client, informers, work queue, workers, metrics; the shapes of client-go in asyncio.

Names follow client-go and controller-runtime wherever they have one, so that who knows those finds the way here.
"""
