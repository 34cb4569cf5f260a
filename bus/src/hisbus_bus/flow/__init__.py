"""The steps of the flow, in the order of the topics. They never import each other."""
