"""Groups of contributors: mandates, deliberation, decisions and dissent. Its place in the order of imports is fixed; it holds nothing yet."""
