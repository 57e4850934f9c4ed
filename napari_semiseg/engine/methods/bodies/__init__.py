"""What several published methods inherit or own: students, teachers, several networks."""
