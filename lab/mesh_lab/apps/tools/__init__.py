"""Small programs that tasks call in pods and not every host has. A bare interpreter runs each as a file."""
